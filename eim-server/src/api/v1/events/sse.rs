//! Events as they happen: server-sent events (HTML, 9.2).

use crate::api::Problem;
use crate::api::streams::{Streams, Taken};
use actix_web::HttpResponse;
use actix_web::web::Bytes;
use eim_core::Eim;
use eim_core::manage::event_stream::{StreamFilter, StreamReader};
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long nothing may be sent; proxies end connections that are silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is looked for what other processes have written.
const LOOK: Duration = Duration::from_secs(2);
/// The same while there are events that can be given in a moment.
const UNSETTLED_LOOK: Duration = Duration::from_millis(50);
/// How long a stream lasts. Its key is looked at when the client comes back.
const LASTS: Duration = Duration::from_secs(3_600);
/// Said first: when the client comes back after the stream has ended, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

struct Open {
    reader: StreamReader,
    written: watch::Receiver<u64>,
    eim: Eim,
    taken: Taken,
    began: Instant,
}

/// A stream of events from where the filter says.
pub(super) async fn stream(filter: StreamFilter, eim: Eim, streams: &Streams) -> Result<HttpResponse, Problem> {
    let taken = streams.take().ok_or_else(|| Problem::unavailable("too many streams of events are open"))?;
    let written = eim.store().events_written();
    let mut reader = StreamReader::new(filter, &eim).await?;
    // What can't be gone on from is said with a status, not by a stream that ends.
    let first = reader.look(&eim).await?;
    let text: String = first.events.iter().map(|(position, event)| message(&position.to_string(), event)).collect();
    let open = Open { reader, written, eim, taken, began: Instant::now() };
    let body = unfold((open, Some(format!("{RETRY}{text}"))), |(mut open, first)| async move {
        let text = match first {
            Some(text) => text,
            None => open.next().await?,
        };
        Some((Ok::<_, Infallible>(Bytes::from(text)), (open, None)))
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").insert_header(("X-Accel-Buffering", "no")).streaming(body))
}

impl Open {
    /// The next events, or a sign of life; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let silent_until = Instant::now() + HEARTBEAT;
        loop {
            if self.taken.is_over() || self.began.elapsed() > LASTS {
                return None;
            }
            self.written.mark_unchanged();
            let look = match self.reader.look(&self.eim).await {
                Ok(look) => look,
                Err(error) => {
                    tracing::error!(%error, "a stream of events ended");
                    return None;
                }
            };
            if !look.events.is_empty() {
                let events = look.events.iter();
                return Some(events.map(|(position, event)| message(&position.to_string(), event)).collect());
            }
            if Instant::now() >= silent_until {
                // Also where the stream was read to, so that a client with a narrow filter does not begin far back.
                return Some(format!(": {}\n\n", self.reader.position()));
            }
            if look.more {
                continue;
            }
            let pause = if look.unsettled { UNSETTLED_LOOK } else { LOOK };
            tokio::select! {
                () = self.taken.over() => return None,
                changed = self.written.changed(), if !look.unsettled => changed.ok()?,
                () = sleep(pause) => {}
            }
        }
    }
}

fn message(id: &str, event: &eim_core::manage::event_stream::CloudEvent) -> String {
    // JSON on one line: there is no line break in it.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {id}\nevent: {}\ndata: {data}\n\n", event.event_type)
}
