//! Keeps a connection: notices when it is lost and makes another, with growing pauses.

use super::link::{Connector, Link};
use crate::queue::running::{CLOSING, Flag};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lived this long was a good one: the pauses begin from the shortest again.
const STEADY: Duration = Duration::from_secs(10);

/// Holds the connection of now, if there is one. Dropped, it closes it.
pub(in crate::queue) struct Keeper {
    links: Arc<watch::Sender<Option<Arc<Link>>>>,
    closing: Flag,
    closed: Flag,
}

impl Keeper {
    /// Connects, and keeps connected from then on.
    pub(super) async fn start(connector: Connector) -> anyhow::Result<Self> {
        let link = connector.connect().await?;
        let keeper =
            Self { links: Arc::new(watch::Sender::new(Some(link.clone()))), closing: Flag::new(), closed: Flag::new() };
        let (links, closing, closed) = (keeper.links.clone(), keeper.closing.clone(), keeper.closed.clone());
        tokio::spawn(async move {
            keep(link, &connector, &links, &closing).await;
            links.send_replace(None);
            closed.raise();
        });
        Ok(keeper)
    }

    /// The connection of now.
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.links.borrow().clone().filter(|link| !link.is_lost())
    }

    /// The connections, as they come and go.
    pub(super) fn links(&self) -> Links {
        Links { links: self.links.subscribe(), closing: self.closing.clone() }
    }

    /// Closes the connection for good.
    pub(in crate::queue) async fn close(&self) {
        self.closing.raise();
        let _ = tokio::time::timeout(CLOSING * 2, self.closed.raised()).await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.closing.raise();
    }
}

/// Where connections appear.
pub(super) struct Links {
    links: watch::Receiver<Option<Arc<Link>>>,
    closing: Flag,
}

impl Links {
    /// A connection that is not lost as far as is known; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Arc<Link>> {
        tokio::select! {
            () = self.closing.raised() => None,
            found = self.links.wait_for(|link| link.as_ref().is_some_and(|link| !link.is_lost())) => {
                found.ok().and_then(|link| link.clone())
            }
        }
    }
}

async fn keep(first: Arc<Link>, connector: &Connector, links: &watch::Sender<Option<Arc<Link>>>, closing: &Flag) {
    let (mut link, mut pause) = (first, FIRST_PAUSE);
    loop {
        let since = Instant::now();
        tokio::select! {
            () = closing.raised() => break link.close().await,
            () = link.watch() => {}
        }
        links.send_replace(None);
        link.fail();
        tracing::warn!(broker = connector.place(), "the connection to the broker is lost");
        if since.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        let Some(again) = reconnect(connector, closing, &mut pause).await else { break };
        tracing::info!(broker = connector.place(), "the connection to the broker is back");
        link = again;
        links.send_replace(Some(link.clone()));
    }
}

async fn reconnect(connector: &Connector, closing: &Flag, pause: &mut Duration) -> Option<Arc<Link>> {
    loop {
        tokio::select! {
            () = closing.raised() => return None,
            () = tokio::time::sleep(*pause) => {}
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = closing.raised() => return None,
            connected = connector.connect() => match connected {
                Ok(link) => return Some(link),
                // The loss was told; that it goes on is of interest only to who looks for the reason.
                Err(error) => tracing::debug!(error = format!("{error:#}"), "the broker is still away"),
            }
        }
    }
}
