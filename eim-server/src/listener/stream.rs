//! The octets of one connection, which end it when they come or go too slowly.
//!
//! actix-web times the time between requests, the fronts time bodies. This is for the rest: the head of a request, a body that nobody reads any
//! more, and a client that does not take its answer.

use super::peers::Place;
use super::watch::Watch;
use prometheus::IntCounterVec;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// How slow a connection may be.
pub(super) struct Patience {
    /// For the head of a request, from its first octet; of the first one, from the end of the handshake.
    pub(super) request: Duration,
    /// For a client that takes nothing of what is sent.
    pub(super) write: Duration,
    /// Where connections that were ended are counted, and under which listener.
    pub(super) ended: IntCounterVec,
    pub(super) listener: &'static str,
}

/// A TCP connection.
pub(super) struct Guarded {
    tcp: TcpStream,
    watch: Rc<Watch>,
    patience: Rc<Patience>,
    /// Since when the client takes nothing of what is there for it.
    stuck_since: Option<Instant>,
    /// Wakes the connection when it may have become too slow. One for all of its life, set anew when it goes off.
    alarm: Option<Pin<Box<Sleep>>>,
    place: Place,
}

impl Guarded {
    pub(super) fn new(tcp: TcpStream, watch: Rc<Watch>, patience: Rc<Patience>, place: Place) -> Self {
        Self { tcp, watch, patience, stuck_since: None, alarm: None, place }
    }

    /// The handshake is over.
    pub(super) fn shaken(&mut self) {
        self.place.shaken();
        self.watch.shaken();
    }

    /// Fails when the connection is too slow, and else is called again when it may be.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let arriving = self.watch.arriving_since().map(|since| (since + self.patience.request, "slow_request"));
        let stuck = self.stuck_since.map(|since| (since + self.patience.write, "slow_reader"));
        let Some((deadline, reason)) = arriving.into_iter().chain(stuck).min() else { return Ok(()) };
        let at = tokio::time::Instant::from_std(deadline);
        loop {
            if Instant::now() >= deadline {
                self.patience.ended.with_label_values(&[self.patience.listener, reason]).inc();
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            // One that goes off too early is set anew then; that is cheaper than to set it for each request.
            if alarm.deadline() > at {
                alarm.as_mut().reset(at);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            alarm.as_mut().reset(at);
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.tcp).poll_read(cx, buf);
        if read.is_pending() || this.watch.arriving_since().is_some() {
            this.check(cx)?;
        }
        ready!(read)?;
        if buf.filled().len() > before {
            this.watch.arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write(cx, octets);
        this.progress(written.is_ready(), cx)?;
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, parts);
        this.progress(written.is_ready(), cx)?;
        written
    }
}

impl Guarded {
    fn progress(&mut self, is_taken: bool, cx: &mut Context<'_>) -> io::Result<()> {
        if is_taken {
            self.stuck_since = None;
            return Ok(());
        }
        self.stuck_since.get_or_insert_with(Instant::now);
        self.check(cx)
    }
}

/// A connection as HTTP sees it.
pub(super) enum Wire {
    Plain(Guarded),
    Tls(Box<TlsStream<Guarded>>),
}

impl Wire {
    pub(super) fn watch(&self) -> &Rc<Watch> {
        match self {
            Self::Plain(plain) => &plain.watch,
            Self::Tls(tls) => &tls.get_ref().0.watch,
        }
    }
}

/// Calls the stream inside.
macro_rules! inside {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        inside!(self, stream => stream.poll_write(cx, octets))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => stream.poll_shutdown(cx))
    }
}
