//! Questions on their way.

use super::OnHandle;
use super::answer::{Asked, Source, Told, Ways};
use super::neighbours::Neighbours;
use crate::engine::{self, OnEngine};
use crate::error::ReadError;
use futures::future::BoxFuture;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What a question has become when it is first polled.
pub(crate) enum Begun<T, E> {
    /// It was answered at once.
    Done(Result<T, E>),
    /// It is on its way.
    Running(BoxFuture<'static, Result<T, E>>),
}

type Start<T, E> = Box<dyn FnOnce(Ways) -> Begun<T, E> + Send>;

enum State<T, E> {
    Waiting(Start<T, E>),
    Running(BoxFuture<'static, Result<T, E>>),
    Over,
}

/// A question on its way. Nothing is done before it is first polled.
///
/// It is answered from what is held here, unless it is said to be [`from`](Read::from) peers. Dropped before its end it leaves what came until
/// then. It borrows nothing, so it can be spawned.
///
/// ```
/// use kappadb::{Database, Source};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let kv = database.kv();
/// kv.put("apple", "red").await?;
///
/// let here = kv.get("apple").await?;
/// assert!(here.is_complete(), "there are no peers");
///
/// let other = tokio::spawn(kv.get("pear"));
/// let asked = kv.get("apple").from(Source::Peers).within(Duration::from_secs(2)).await?;
/// assert_eq!(asked.one().expect("just put").text(), Some("red"));
/// assert!(other.await??.one().is_none());
/// # Ok(()) }
/// ```
#[must_use = "nothing is asked before this is awaited"]
pub struct Read<T, E = ReadError> {
    state: State<T, E>,
    ways: Ways,
}

impl<T, E> Read<T, E> {
    /// Where it is answered from. Default: [`Source::Local`]. Said after it was first polled it changes nothing.
    pub fn from(mut self, source: Source) -> Self {
        self.ways.source = source;
        self
    }

    /// For how long peers are waited for in all, whatever they do. What has come by then is the answer; those who are not done are named as late
    /// ([`Asked::failures`](crate::Asked::failures)). Default: as long as something comes from one of them
    /// ([`Builder::patience`](crate::Builder::patience)).
    pub fn within(mut self, time: Duration) -> Self {
        self.ways.within = Some(time);
        self
    }

    /// Nobody's word is to count who was not asked by this replica. Peers are asked for what they hold whole themselves, and what earlier answers
    /// have shown here counts if those were direct, too. What is complete only on the word of others is not called complete then
    /// ([`Completeness::is_direct`](crate::Completeness::is_direct)). Default: it counts, and the answer says whose it is.
    pub fn direct(mut self) -> Self {
        self.ways.direct = true;
        self
    }

    /// One that `start` begins.
    pub(crate) fn begin(start: impl FnOnce(Ways) -> Begun<T, E> + Send + 'static) -> Self {
        Read { state: State::Waiting(Box::new(start)), ways: Ways::default() }
    }
}

impl<T, E> Read<T, E>
where
    T: Told + Send + 'static,
    E: From<ReadError> + Send + 'static,
{
    /// One that asks with `ask` for what it needs, and is answered by `look`, where that may block.
    pub(crate) fn new<P: OnHandle + OnEngine, A: Into<E> + Send + 'static>(
        parts: &Arc<P>,
        ask: impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), A>> + Send + 'static,
        look: impl FnOnce(&Arc<P>) -> Result<T, E> + Send + 'static,
    ) -> Self {
        let parts = parts.clone();
        Read::begin(move |ways| Begun::Running(Box::pin(answer(parts, ways, ask, look))))
    }
}

/// Asks, if anybody is to be asked, and looks.
pub(crate) async fn answer<P, T, E, A>(
    parts: Arc<P>,
    ways: Ways,
    ask: impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), A>> + Send + 'static,
    look: impl FnOnce(&Arc<P>) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    P: OnHandle + OnEngine,
    T: Told + Send + 'static,
    E: From<ReadError> + Send + 'static,
    A: Into<E> + Send + 'static,
{
    // What it rests on first: what comes later makes the answer only better.
    let asked = match ways.source {
        Source::Local if parts.handle().has_all() => Asked { complete: true, ..Asked::default() },
        source => {
            let mut neighbours = match source {
                Source::Local => Neighbours::nobody(parts.handle()),
                Source::Peers => Neighbours::dial_within(parts.handle(), ways.within).await,
            };
            neighbours.direct = ways.direct;
            ask(&mut neighbours).await.map_err(Into::into)?;
            neighbours.finish().await?
        }
    };
    let held = parts.clone();
    let mut told = engine::run(&parts, move |_| look(&held)).await??;
    told.tell(asked);
    Ok(told)
}

impl<T, E> Future for Read<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.get_mut();
        if let State::Waiting(_) = &this.state
            && let State::Waiting(start) = std::mem::replace(&mut this.state, State::Over)
        {
            match start(this.ways) {
                Begun::Done(answer) => return Poll::Ready(answer),
                Begun::Running(running) => this.state = State::Running(running),
            }
        }
        match &mut this.state {
            State::Running(running) => running.as_mut().poll(context),
            // After its end it says nothing more, as other futures do.
            _ => Poll::Pending,
        }
    }
}

impl<T, E> Unpin for Read<T, E> {}

impl<T, E> fmt::Debug for Read<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("ways", &self.ways).finish_non_exhaustive()
    }
}
