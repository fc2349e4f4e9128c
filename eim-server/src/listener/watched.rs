//! Puts the watch of its connection around each request, from its head to the end of its answer.

use super::watch::{UnderWay, Watch};
use actix_http::{Request, Response};
use actix_service::{Service, ServiceFactory};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::web::Bytes;
use futures_util::future::LocalBoxFuture;
use prometheus::IntCounter;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// An application whose requests are watched.
pub(super) struct Watched<F> {
    pub(super) app: F,
    /// Counts requests that waited for the pace of their connection.
    pub(super) paced: IntCounter,
}

impl<F, B> ServiceFactory<Request> for Watched<F>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = actix_web::Error>,
    F::Service: 'static,
    F::Future: 'static,
    <F::Service as Service<Request>>::Future: 'static,
    B: MessageBody + Unpin + 'static,
{
    type Response = Response<Held<B>>;
    type Error = Response<BoxBody>;
    type Config = ();
    type Service = WatchedService<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let app = self.app.new_service(AppConfig::default());
        let paced = self.paced.clone();
        Box::pin(async move { Ok(WatchedService { app: Rc::new(app.await?), paced }) })
    }
}

pub(super) struct WatchedService<S> {
    app: Rc<S>,
    paced: IntCounter,
}

impl<S, B> Service<Request> for WatchedService<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    S::Future: 'static,
    B: MessageBody + Unpin + 'static,
{
    type Response = Response<Held<B>>;
    type Error = Response<BoxBody>;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.app.poll_ready(cx).map_err(|error| error.error_response().into())
    }

    fn call(&self, request: Request) -> Self::Future {
        let watched = request.conn_data::<Rc<Watch>>().map(Watch::begin);
        let app = Rc::clone(&self.app);
        let paced = self.paced.clone();
        Box::pin(async move {
            let under_way = match watched {
                Some((under_way, wait)) => {
                    if !wait.is_zero() {
                        paced.inc();
                        actix_web::rt::time::sleep(wait).await;
                    }
                    Some(under_way)
                }
                None => None,
            };
            match app.call(request).await {
                Ok(response) => {
                    Ok(Response::<B>::from(response).map_body(|_, body| Held { body, _under_way: under_way }))
                }
                Err(error) => Err(error.error_response().into()),
            }
        })
    }
}

/// The body of an answer: while there is more of it, its request is under way.
pub(super) struct Held<B> {
    body: B,
    _under_way: Option<UnderWay>,
}

impl<B: MessageBody + Unpin> MessageBody for Held<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
