//! The server: sockets, deadlines, and the order in which a request passes what looks at it.
//!
//! Whoever is slow holds up nobody: a header has to come within seconds, a form too, an answer has to be taken; and there are
//! only so many connections at a time, the next ones waiting in the socket's queue. It ends within seconds when it is told to;
//! requests that wait for a store that hangs are left behind.

use super::answer::{Refusal, finish};
use super::person::Person;
use super::throttle::Peer;
use super::{
    Shared, asking, assets, calendar, folders, health, list, message, metrics, requests, search,
    sign_in, take,
};
use crate::error::{Error, Kind, Result};
use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};

/// Connections at a time, of browsers and of those who read metrics.
const CONNECTIONS: usize = 1024;
const METRICS_CONNECTIONS: usize = 16;

/// How long a header may take, an idle connection included.
const HEADER: Duration = Duration::from_secs(15);

/// Longest header, in bytes.
const HEADER_BYTES: usize = 64 << 10;

/// How long nothing of an answer may be taken.
const TAKING: Duration = Duration::from_secs(60);

/// How long the end waits for requests under way.
const PARTING: Duration = Duration::from_secs(3);

/// Where the portal listens.
pub struct Sockets {
    pub portal: Vec<TcpListener>,
    pub metrics: Option<TcpListener>,
}

/// All pages. Each group of them has its routes in its own module.
fn pages() -> Router<Shared> {
    Router::new()
        .merge(asking::routes())
        .merge(assets::routes())
        .merge(calendar::routes())
        .merge(folders::routes())
        .merge(health::routes())
        .merge(list::routes())
        .merge(message::routes())
        .merge(requests::routes())
        .merge(search::routes())
        .merge(sign_in::routes())
        .merge(take::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
}

/// What is at every other address. Who is signed in stays so.
async fn nothing(_: Option<Person>) -> Refusal {
    Refusal::NotFound
}

/// Serves until SIGTERM or SIGINT. `ready` is called when connections are taken.
pub fn serve(state: &Shared, sockets: Sockets, ready: impl FnOnce()) -> Result<()> {
    let failed =
        |doing: &str, e: &io::Error| Error::new(Kind::Failed, format!("the portal: {doing}: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("mailtm-portal")
        .enable_all()
        .build()
        .map_err(|e| failed("starting threads", &e))?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let reloading = state.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let state = reloading.clone();
                // What it needs no page waits for.
                let _ = reloading.wait(move || (state.reload)()).await;
            }
        });
        let (stop, stopped) = watch::channel(());
        let finished = middleware::from_fn_with_state(state.clone(), finish);
        let pages = pages().layer(finished).with_state(state.clone());
        for socket in sockets.portal {
            let socket = listener(socket)?;
            let accepting = accept(socket, pages.clone(), CONNECTIONS, stopped.clone());
            tokio::spawn(accepting);
        }
        if let Some(socket) = sockets.metrics {
            let metrics = metrics::routes().with_state(state.clone());
            let socket = listener(socket)?;
            let accepting = accept(socket, metrics, METRICS_CONNECTIONS, stopped.clone());
            tokio::spawn(accepting);
        }
        drop(stopped);
        ready();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(());
        // All connections have ended when nobody listens to this any more.
        if timeout(PARTING, stop.closed()).await.is_err() {
            tracing::info!("requests under way are left behind");
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result.map_err(|e: io::Error| failed("serving", &e))
}

fn listener(socket: TcpListener) -> io::Result<tokio::net::TcpListener> {
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket)
}

async fn accept(
    socket: tokio::net::TcpListener,
    router: Router,
    most: usize,
    mut stopped: watch::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(most));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.changed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of descriptors, or the client has gone.
                tracing::debug!("taking a connection: {e}");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let router = router.clone().layer(axum::Extension(Peer(peer.ip())));
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            let stream = TokioIo::new(Patient::new(stream));
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .max_buf_size(HEADER_BYTES);
            let service = TowerToHyperService::new(router);
            let connection = server.serve_connection(stream, service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(e) = ended {
                tracing::debug!("{peer}: {e}");
            }
        });
    }
}

/// A stream that fails when nothing of what is written to it is taken for too long.
struct Patient {
    stream: TcpStream,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            waiting: None,
        }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(TAKING)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, outcome)
    }
}
