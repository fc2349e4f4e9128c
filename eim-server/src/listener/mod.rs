//! A listener: accepts connections within limits of number, time and pace, with TLS or without, and hands their requests to an application.
//!
//! Built from the parts of actix-web, because its own server can't tell how slow a later request of a connection is or whether a client
//! takes its answer, and knows no addresses before the handshake. HTTP/1.1 alone. What is asked and answered is not looked at here.

mod peers;
mod stream;
mod watch;
mod watched;

pub(crate) use watch::Watch;

use crate::config::Limits;
use crate::limits::Rate;
use crate::telemetry::Rejections;
use actix_http::{HttpServiceBuilder, Protocol, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceResponse};
use eim_core::metrics::Metrics;
use peers::Peers;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use stream::{Guarded, Patience, Wire};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use watched::{Held, Watched};

/// How a listener behaves.
#[derive(Clone)]
pub(crate) struct Listener {
    /// What metrics and logs call it.
    pub(crate) name: &'static str,
    /// TLS; plain without it.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Threads; 0 for as many as there are cores.
    pub(crate) workers: usize,
    /// The requests of each connection, which wait for their turn.
    pub(crate) pace: Option<Rate>,
    /// Sizes, numbers and times.
    pub(crate) limits: Limits,
    /// Where it counts.
    pub(crate) metrics: Metrics,
}

impl Listener {
    /// Binds and runs it. `connected` makes what a connection carries from one request to the next.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub(crate) fn run<F, I, S, B, C>(
        self,
        address: SocketAddr,
        app: F,
        connected: fn() -> C,
    ) -> io::Result<(SocketAddr, Server)>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<
                Request,
                Config = AppConfig,
                Response = ServiceResponse<B>,
                Error = actix_web::Error,
                InitError = (),
            > + 'static,
        S::Service: 'static,
        S::Future: 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + Unpin + 'static,
        C: 'static,
    {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(self.limits.backlog)?.into_std()?;
        let address = socket.local_addr()?;
        let builder = Server::build()
            .max_concurrent_connections(self.limits.max_connections)
            .shutdown_timeout(self.limits.shutdown_timeout_s)
            .disable_signals();
        let builder = if self.workers == 0 { builder } else { builder.workers(self.workers) };
        let stopping = builder.graceful_shutdown_signal();
        let shared = Arc::new(Shared {
            peers: Arc::new(Peers::new(self.limits.connections_per_address, self.limits.handshakes_per_address)),
            rejections: Rejections::default(),
        });
        let server = builder.listen(self.name, socket, move || {
            let stopping = stopping.clone();
            let http = HttpServiceBuilder::<Wire, Watched<S>>::default()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(self.limits.keep_alive())
                // The watch times the head of every request.
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(Duration::from_secs(1))
                .on_connect_ext(move |wire: &Wire, data| {
                    data.insert(Rc::clone(wire.watch()));
                    data.insert(connected());
                })
                .finish::<_, Held<B>>(Watched {
                    app: app().into_factory(),
                    paced: self.metrics.requests_paced_total.with_label_values(&[self.name]),
                });
            let door = Rc::new(Door::new(self.clone(), Arc::clone(&shared)));
            let http = Rc::new(http);
            fn_factory(move || {
                let (door, http) = (Rc::clone(&door), Rc::clone(&http));
                async move {
                    let http = Rc::new(http.new_service(()).await?);
                    Ok::<_, ()>(fn_service::<_, _, _, _, _, ()>(move |tcp: TcpStream| {
                        let (door, http) = (Rc::clone(&door), Rc::clone(&http));
                        async move {
                            if let Some((wire, peer)) = door.open(tcp).await {
                                // How a connection ended is its client's affair.
                                let _ = http.call((wire, Protocol::Http1, Some(peer))).await;
                            }
                            Ok::<(), Infallible>(())
                        }
                    }))
                }
            })
        })?;
        Ok((address, server.run()))
    }
}

/// What all threads of a listener share.
struct Shared {
    peers: Arc<Peers>,
    rejections: Rejections,
}

/// Lets connections in, on one thread.
struct Door {
    listener: Listener,
    shared: Arc<Shared>,
    patience: Rc<Patience>,
    handshakes: Semaphore,
    tls: Option<TlsAcceptor>,
}

impl Door {
    fn new(listener: Listener, shared: Arc<Shared>) -> Self {
        let limits = &listener.limits;
        let patience = Rc::new(Patience {
            request: limits.request_timeout(),
            write: limits.write_timeout(),
            ended: listener.metrics.connections_ended_total.clone(),
            listener: listener.name,
        });
        let handshakes = Semaphore::new(limits.max_handshakes.min(Semaphore::MAX_PERMITS));
        let tls = listener.tls.clone().map(TlsAcceptor::from);
        Self { listener, shared, patience, handshakes, tls }
    }

    /// The connection as HTTP sees it, and whom it is with; none when it was ended.
    async fn open(&self, tcp: TcpStream) -> Option<(Wire, SocketAddr)> {
        let peer = tcp.peer_addr().ok()?;
        // Answers are written as a whole: nothing is gained by waiting for more of them.
        let _ = tcp.set_nodelay(true);
        let place = match self.shared.peers.enter(peer.ip(), self.tls.is_some()) {
            Ok(place) => place,
            Err(reason) => return self.ended(reason, peer),
        };
        let watch = Rc::new(Watch::new(self.listener.pace, self.tls.is_some()));
        let guarded = Guarded::new(tcp, watch, Rc::clone(&self.patience), place);
        let Some(tls) = &self.tls else { return Some((Wire::Plain(guarded), peer)) };
        let shaken = async {
            let turn = self.handshakes.acquire().await;
            let shaken = tls.accept(guarded).await;
            drop(turn);
            shaken
        };
        match tokio::time::timeout(self.listener.limits.handshake_timeout(), shaken).await {
            Ok(Ok(mut tls)) => {
                tls.get_mut().0.shaken();
                Some((Wire::Tls(Box::new(tls)), peer))
            }
            Ok(Err(_)) => self.ended("handshake", peer),
            Err(_) => self.ended("slow_handshake", peer),
        }
    }

    fn ended<T>(&self, reason: &'static str, peer: SocketAddr) -> Option<T> {
        self.listener.metrics.connections_ended_total.with_label_values(&[self.listener.name, reason]).inc();
        if let Some(suppressed) = self.shared.rejections.may_log() {
            let (listener, peer) = (self.listener.name, peer.ip());
            tracing::warn!(listener, %peer, reason, suppressed, "a connection was not taken");
        }
        None
    }
}
