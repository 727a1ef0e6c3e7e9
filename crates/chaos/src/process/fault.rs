//! Child processes by name, and what a plan does to them.

mod play;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use steadfast_core::parts::lock;
use tokio::task::{JoinError, spawn_blocking};

use super::Child;
use crate::{Change, Event, FailureMode};

/// Child processes by name, which are stopped, killed and started again, by hand or by a plan's
/// timeline. Clones share them.
///
/// ```no_run
/// use std::time::Duration;
/// use steadfast_chaos::{FailureMode, Outage, Plan, process::{Child, ProcessFault}};
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let second = Duration::from_secs(1);
/// let processes = ProcessFault::new();
/// for name in ["a", "b"] {
///     processes.start(name, |port| Child::spawn(["--node".to_owned(), port.to_string()]))?;
/// }
/// let timeline = Plan::new(7)
///     .outage(Outage::new("a", FailureMode::Paused).during(3 * second..11 * second))
///     .outage(Outage::new("b", FailureMode::Killed).at_random(9 * second, second, 60 * second))
///     .timeline()?;
/// processes.run(&timeline).await?;
/// # Ok(()) }
/// ```
///
/// The last clone that is dropped ends the processes, stopped or not.
///
/// # Blocking
/// What does not return a future waits until the system has done it: milliseconds, and up to 20 s
/// where a process is started. A task calls it in `block_in_place` or `spawn_blocking`. What
/// happens to one process happens one after the other; no process waits for another.
#[derive(Clone, Default)]
pub struct ProcessFault {
    members: Arc<Mutex<BTreeMap<Arc<str>, Arc<Member>>>>,
}

/// A process of [`ProcessFault`] that does not do as it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// No process has that name.
    #[error("no process is called {name:?}")]
    Unknown {
        /// Which name.
        name: Arc<str>,
    },
    /// Another process has that name.
    #[error("another process is called {name:?}")]
    Taken {
        /// Which name.
        name: Arc<str>,
    },
    /// The system, or the process, refuses.
    #[error("cannot {what} the process {name:?}")]
    Refused {
        /// Which process.
        name: Arc<str>,
        /// What was to be done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

struct Member {
    name: Arc<str>,
    /// That of the child. Relaxed: it stands for itself.
    port: AtomicU16,
    // Whatever panics in `start`, the child before is whole.
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    start: Box<dyn FnMut(u16) -> io::Result<Child> + Send>,
}

impl ProcessFault {
    /// No processes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a process, and calls it `name`. Blocks.
    ///
    /// `start` is given the port to serve on: 0, which is any, and whenever it is started again the
    /// port it had.
    ///
    /// # Errors
    /// When another has that name, and when `start` fails.
    pub fn start(
        &self,
        name: impl Into<Arc<str>>,
        mut start: impl FnMut(u16) -> io::Result<Child> + Send + 'static,
    ) -> Result<(), ProcessError> {
        let name = name.into();
        if lock(&self.members).contains_key(&name) {
            return Err(ProcessError::Taken { name });
        }
        let child = start(0).map_err(|source| refused(&name, "start", source))?;
        let port = AtomicU16::new(child.port());
        let process = Mutex::new(Process { child, start: Box::new(start) });
        let member = Arc::new(Member { name: Arc::clone(&name), port, process });
        let mut members = lock(&self.members);
        if members.contains_key(&name) {
            // Two at once: this one ends with its member, and without the lock.
            drop(members);
            return Err(ProcessError::Taken { name });
        }
        members.insert(name, member);
        Ok(())
    }

    /// The loopback address that the process serves on. Does not block.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn address(&self, name: &str) -> Result<SocketAddr, ProcessError> {
        let port = self.member(name)?.port.load(Ordering::Relaxed);
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }

    /// The process id: another one whenever it is started again.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn id(&self, name: &str) -> Result<u32, ProcessError> {
        Ok(lock(&self.member(name)?.process).child.id())
    }

    /// Whether the process is alive, stopped or not.
    ///
    /// # Errors
    /// When there is none of that name, or the system does not say.
    pub fn is_alive(&self, name: &str) -> Result<bool, ProcessError> {
        self.member(name)?.is_alive()
    }

    /// See [`Child::pause`].
    ///
    /// # Errors
    /// When there is none of that name, or it is dead.
    pub fn pause(&self, name: &str) -> Result<(), ProcessError> {
        self.member(name)?.take(Act::Pause)
    }

    /// See [`Child::resume`].
    ///
    /// # Errors
    /// When there is none of that name, or it is dead.
    pub fn resume(&self, name: &str) -> Result<(), ProcessError> {
        self.member(name)?.take(Act::Resume)
    }

    /// See [`Child::kill`].
    ///
    /// # Errors
    /// When there is none of that name, or the system refuses.
    pub fn kill(&self, name: &str) -> Result<(), ProcessError> {
        self.member(name)?.take(Act::Kill)
    }

    /// Kills the process if it is alive, and starts it on the port it had.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be started: it is dead then.
    pub fn restart(&self, name: &str) -> Result<(), ProcessError> {
        self.member(name)?.take(Act::Restart)
    }

    /// Lets those that are stopped go on, and starts those that are dead.
    ///
    /// # Errors
    /// When one of them cannot be started. Those behind it by name are as before.
    pub fn heal(&self) -> Result<(), ProcessError> {
        let members: Vec<_> = lock(&self.members).values().cloned().collect();
        members.iter().try_for_each(|member| {
            member.take(if member.is_alive()? { Act::Resume } else { Act::Restart })
        })
    }

    /// Does to a process what a timeline says: stops it or lets it go on, kills it or starts it
    /// again. Returns `false`, and does nothing, when the event is one of a link.
    ///
    /// # Errors
    /// When there is none of that name, or it does not do so.
    ///
    /// # Cancellation
    /// What has begun is finished all the same.
    pub async fn apply(&self, event: &Event) -> Result<bool, ProcessError> {
        let Some(act) = Act::of(event) else { return Ok(false) };
        let member = self.member(&event.target)?;
        blocking(move || member.take(act)).await.map(|()| true)
    }

    fn member(&self, name: &str) -> Result<Arc<Member>, ProcessError> {
        let member = lock(&self.members).get(name).cloned();
        member.ok_or_else(|| ProcessError::Unknown { name: name.into() })
    }
}

impl fmt::Debug for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = lock(&self.members);
        let ports = members.values().map(|member| (&member.name, &member.port));
        f.debug_map().entries(ports).finish()
    }
}

/// What can be done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Pause,
    Resume,
    Kill,
    Restart,
}

impl Act {
    fn of(event: &Event) -> Option<Self> {
        match (event.mode, event.change) {
            (FailureMode::Paused, Change::Begin) => Some(Self::Pause),
            (FailureMode::Paused, Change::End) => Some(Self::Resume),
            (FailureMode::Killed, Change::Begin) => Some(Self::Kill),
            (FailureMode::Killed, Change::End) => Some(Self::Restart),
            _ => None,
        }
    }
}

impl Act {
    /// It cannot … the process.
    const fn name(self) -> &'static str {
        match self {
            Self::Pause => "stop",
            Self::Resume => "continue",
            Self::Kill => "kill",
            Self::Restart => "start",
        }
    }
}

impl Member {
    fn take(&self, act: Act) -> Result<(), ProcessError> {
        self.take_locked(act, &mut lock(&self.process))
    }

    fn take_locked(&self, act: Act, process: &mut Process) -> Result<(), ProcessError> {
        let taken = match act {
            Act::Pause => process.child.pause(),
            Act::Resume => process.child.resume(),
            Act::Kill => process.child.kill(),
            Act::Restart => process.restart(),
        };
        // Another one, if it does not serve on the port it was given.
        self.port.store(process.child.port(), Ordering::Relaxed);
        taken.map_err(|source| refused(&self.name, act.name(), source))
    }

    fn is_alive(&self) -> Result<bool, ProcessError> {
        let alive = lock(&self.process).child.is_alive();
        alive.map_err(|source| refused(&self.name, "look at", source))
    }
}

impl Process {
    fn restart(&mut self) -> io::Result<()> {
        // Dead first: two cannot have one port.
        self.child.kill()?;
        self.child = (self.start)(self.child.port())?;
        Ok(())
    }
}

fn refused(name: &Arc<str>, what: &'static str, source: io::Error) -> ProcessError {
    ProcessError::Refused { name: Arc::clone(name), what, source }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    settled(spawn_blocking(work).await).await
}

/// A panic is passed on. Without one, only a runtime that is shut down gives no result, and it
/// polls this future no more.
async fn settled<T>(joined: Result<T, JoinError>) -> T {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await,
    }
}
