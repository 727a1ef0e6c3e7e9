//! What releases tell by NOTIFY, heard over a connection of its own.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use rand::RngExt;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{
    AsyncMessage, Config, Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

use crate::{LeaseName, polled::Wakes, race::race};

/// One connection that listens, for as long as there is something to be heard, and the task that
/// it is of.
///
/// It is a hint and no more: those that wait look at intervals all the same. So it does not matter
/// what is lost together with a connection, or whether it stands still in silence.
#[derive(Clone)]
pub(super) struct Listener(Arc<Ear>);

struct Ear {
    dial: Box<dyn Dial>,
    /// The statement that begins to listen.
    listen: String,
    /// How long a connection may take until it listens.
    limit: Duration,
    waiting: Mutex<Waiting>,
    /// How many wait.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Waiting {
    /// By the payload of their notifications.
    names: HashMap<Box<str>, watch::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// How long the connection stays when none waits any more: an observer comes back for the next
/// view in a moment.
const LINGER: Duration = Duration::from_secs(1);
/// Until a connection is made anew, at most. What waits looks meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

impl Listener {
    pub(super) fn new<T>(config: Config, tls: T, channel: &str, limit: Duration) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        Self(Arc::new(Ear {
            dial: Box::new(Dialer { config, tls }),
            listen: format!("LISTEN \"{channel}\""),
            limit,
            waiting: Mutex::default(),
            count: watch::Sender::new(0),
        }))
    }

    /// Is woken by what is told of this name from now on; and once when the connection listens, for
    /// what was told before. The first of all starts the task, in the runtime that it is called in.
    pub(super) fn wait_for(&self, name: &LeaseName) -> Told {
        let ear = &self.0;
        let payload = payload(name);
        let mut waiting = ear.waiting();
        let told = waiting.names.entry(payload.clone()).or_default().subscribe();
        ear.count.send_modify(|count| *count += 1);
        // A task ends with its runtime, too.
        if waiting.task.as_ref().is_none_or(JoinHandle::is_finished) {
            waiting.task = Some(tokio::spawn(listen(Arc::clone(ear))));
        }
        Told { ear: Arc::clone(ear), payload, told }
    }
}

impl Ear {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whatever panics under it leaves a whole map.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, payload: &str) {
        if let Some(told) = self.waiting().names.get(payload) {
            told.send_replace(());
        }
    }

    fn wake_all(&self) {
        for told in self.waiting().names.values() {
            told.send_replace(());
        }
    }

    /// Returns when none has waited for a while. The task is over then: the next to wait starts
    /// another.
    async fn is_idle(&self) {
        let mut count = self.count.subscribe();
        loop {
            // The sender is here.
            let _ = count.wait_for(|count| *count == 0).await;
            let _ = timeout(LINGER, count.wait_for(|count| *count > 0)).await;
            let mut waiting = self.waiting();
            if waiting.names.is_empty() {
                waiting.task = None;
                return;
            }
        }
    }
}

async fn listen(ear: Arc<Ear>) {
    let listens = async {
        loop {
            ear.dial.listen(&ear).await;
            // Not all at once to a server that is back.
            let pause = PAUSE.mul_f64(rand::rng().random_range(0.1..1.0));
            sleep(pause).await;
        }
    };
    let _: crate::race::Raced<(), ()> = race(listens, ear.is_idle()).await;
}

/// One that waits for what is told of a name.
pub(super) struct Told {
    ear: Arc<Ear>,
    payload: Box<str>,
    told: watch::Receiver<()>,
}

impl Wakes for Told {
    async fn wait(&mut self) {
        if self.told.changed().await.is_err() {
            // Its sender is there as long as this.
            pending::<()>().await;
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let mut waiting = self.ear.waiting();
        // This one is counted still.
        if waiting.names.get(&self.payload).is_some_and(|told| told.receiver_count() <= 1) {
            waiting.names.remove(&self.payload);
        }
        self.ear.count.send_modify(|count| *count -= 1);
    }
}

/// A connection to some server, with some TLS.
trait Dial: Send + Sync {
    /// Connects and listens, until the connection ends or cannot be made.
    fn listen<'a>(&'a self, ear: &'a Ear) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

struct Dialer<T> {
    config: Config,
    tls: T,
}

impl<T> Dial for Dialer<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn listen<'a>(&'a self, ear: &'a Ear) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let connected = timeout(ear.limit, self.config.connect(self.tls.clone())).await;
            let Ok(Ok((client, mut connection))) = connected else { return };
            let mut begins = pin!(timeout(ear.limit, client.batch_execute(&ear.listen)));
            let mut listens = false;
            poll_fn(|cx| {
                loop {
                    match connection.poll_message(cx) {
                        Poll::Ready(Some(Ok(AsyncMessage::Notification(told)))) => {
                            ear.wake(told.payload());
                        }
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => break,
                    }
                }
                if listens {
                    return Poll::Pending;
                }
                match begins.as_mut().poll(cx) {
                    Poll::Ready(Ok(Ok(()))) => {
                        listens = true;
                        ear.wake_all();
                        Poll::Pending
                    }
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
        })
    }
}

/// A name may have bytes that no text of PostgreSQL has. As `encode(name, 'hex')` writes it.
fn payload(name: &LeaseName) -> Box<str> {
    let mut hex = String::with_capacity(2 * name.as_str().len());
    for byte in name.as_str().bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("listen", &self.0.listen).finish_non_exhaustive()
    }
}
