//! The tasks of the streams of one HTTP/2 connection: they end with it, and none panics unseen.

use std::{
    panic,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

use hyper::rt::Executor;
use tokio::task::JoinSet;

#[derive(Default)]
pub(crate) struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// Spawns into the streams, as long as they exist. Each stream holds one of these, so it must not
/// keep the streams alive in turn.
#[derive(Clone)]
pub(crate) struct Spawner(Weak<Mutex<JoinSet<()>>>);

// === impl Streams ===

impl Streams {
    pub(crate) fn spawner(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.tasks))
    }

    /// Runs the connection that spawns the streams; panics if one of them does.
    pub(crate) async fn accompany<T>(&self, connection: impl Future<Output = T>) -> T {
        let mut connection = pin!(connection);
        std::future::poll_fn(|context| {
            // First the connection: what it spawns now must be watched, too.
            let result = connection.as_mut().poll(context);
            self.reap(context);
            result
        })
        .await
    }

    fn reap(&self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = lock(&self.tasks).poll_join_next(context) {
            if let Err(error) = ended
                && error.is_panic()
            {
                panic::resume_unwind(error.into_panic());
            }
        }
    }
}

// === impl Spawner ===

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, stream: F) {
        if let Some(tasks) = self.0.upgrade() {
            lock(&tasks).spawn(stream);
        }
    }
}

fn lock(tasks: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    #[should_panic(expected = "in a stream")]
    async fn a_panic_of_a_stream_ends_its_connection() {
        let streams = Streams::default();
        streams.spawner().execute(async { panic!("in a stream") });
        streams.accompany(pending::<()>()).await;
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_connection() {
        let streams = Streams::default();
        let spawner = streams.spawner();
        let (sender, receiver) = oneshot::channel::<()>();
        // Like a real one, the stream holds a spawner.
        let stream = (spawner.clone(), sender);
        spawner.execute(async move {
            pending::<()>().await;
            drop(stream);
        });
        drop(streams);
        assert!(receiver.await.is_err());
        spawner.execute(async { panic!("nobody runs this") });
    }
}
