//! Real child processes that can be stopped, resumed and killed, and that never outlive their
//! parent.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use steadfast_chaos::process;
//!
//! # fn main() -> std::io::Result<()> {
//! if std::env::args().nth(1).as_deref() == Some("upstream") {
//!     process::exit_when_orphaned();
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     process::announce_ready(listener.local_addr()?.port())?;
//!     // serve on `listener` …
//! #   drop(listener);
//! }
//! let mut child = process::Child::spawn(["upstream"])?;
//! child.pause()?; // keeps its connections and answers no request
//! child.resume()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`ProcessFault`] holds several of them by name, and does to them what the timeline of a
//! [`Plan`](crate::Plan) says.

mod fault;

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    io::retry_on_intr,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};

pub use self::fault::{ProcessError, ProcessFault};

/// A child gets this long to say that it is ready.
const START: Duration = Duration::from_secs(20);
const READY: &str = "ready ";
/// So much of a line is held at once: more than an announcement is long.
const LINE: u64 = 1024;

/// The current executable as a child process, serving on a port of the loopback interface.
///
/// Dropping it kills the process, stopped or not, and waits for its end.
#[derive(Debug)]
pub struct Child {
    child: process::Child,
    port: u16,
    // Its end is what tells the child that its parent is gone.
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts the current executable with these arguments and waits until it calls
    /// [`announce_ready`].
    ///
    /// The child's standard error is the parent's; its standard output is read and thrown away.
    ///
    /// # Errors
    /// When the process cannot be started, ends, or says nothing for 20 s.
    pub fn spawn(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (started, child) = mpsc::channel();
        let (announced, port) = mpsc::channel();
        // The thread that starts a process counts as its parent for the death signal, so it lives
        // as long as the process.
        thread::spawn(move || match command.spawn() {
            Ok(mut child) => {
                let (stdout, id) = (child.stdout.take(), pid(&child));
                // If the receiver is gone, the child is dropped here with its standard input, and
                // ends.
                let _ = started.send(Ok(child));
                stdout.into_iter().for_each(|stdout| follow(stdout, &announced));
                // For a child that has closed its standard output. It is looked at and not taken:
                // its end is left for `wait`.
                let end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                id.map(|id| retry_on_intr(|| waitid(WaitId::Pid(id), end)));
            }
            Err(error) => drop(started.send(Err(error))),
        });
        let mut child = child.recv().map_err(io::Error::other)??;
        let stdin = child.stdin.take();
        // From here on the guard ends the process whatever happens.
        let mut guard = Self { child, port: 0, _stdin: stdin };
        guard.port = port
            .recv_timeout(START)
            .map_err(|_| io::Error::other("the child did not say that it is ready"))?;
        Ok(guard)
    }

    /// The port the child announced.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The loopback address the child announced.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is alive, stopped or not.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Stops the process (`SIGSTOP`), and returns once it stands still: its connections stay open,
    /// and no request is answered.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn pause(&mut self) -> io::Result<()> {
        let id = self.signal(Signal::STOP)?;
        // The signal is only on its way: a thread on another core runs on for a while. The stop is
        // reported when all stand. Looked at and not taken, the end of a process that died
        // meanwhile is left for `wait`.
        let change = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        retry_on_intr(|| waitid(WaitId::Pid(id), change))?;
        Ok(())
    }

    /// Lets a stopped process go on (`SIGCONT`).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Kills the process (`SIGKILL`), stopped or not, and waits for its end. Killing it twice does
    /// nothing more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn signal(&mut self, signal: Signal) -> io::Result<Pid> {
        // Once waited for, its id may be another's; before that it is its own, even when it is
        // dead.
        if !self.is_alive()? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = pid(&self.child).ok_or(io::ErrorKind::NotFound)?;
        kill_process(id, signal)?;
        Ok(id)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The process may be gone already, which is all that is wanted.
        let _ = self.kill();
    }
}

fn pid(child: &process::Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Reads a child's standard output to its end and passes on the port it announces.
fn follow(stdout: ChildStdout, announced: &mpsc::Sender<u16>) {
    let mut stdout = BufReader::new(stdout);
    let (mut line, mut is_start) = (Vec::new(), true);
    // A child prints what it likes: bytes that are no text, and lines without an end.
    while let Ok(1..) = (&mut stdout).take(LINE).read_until(b'\n', &mut line) {
        if let Some(port) = announcement(&line).filter(|_| is_start) {
            // The parent waits for the first announcement only.
            let _ = announced.send(port);
        }
        is_start = line.ends_with(b"\n");
        line.clear();
    }
}

fn announcement(line: &[u8]) -> Option<u16> {
    str::from_utf8(line).ok()?.strip_prefix(READY)?.trim().parse().ok()
}

/// Says the port on standard output, for the parent's [`Child::spawn`].
///
/// # Errors
/// When standard output is closed.
pub fn announce_ready(port: u16) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{READY}{port}")?;
    stdout.flush()
}

/// Makes this process end when its parent is gone, however the parent ended.
///
/// It watches standard input, which the parent holds open, from a thread. On Linux the kernel also
/// kills it when the parent dies, which reaches a stopped process too.
pub fn exit_when_orphaned() {
    #[cfg(target_os = "linux")]
    {
        // Refused only for an unknown signal; the watch on standard input stands anyway.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    thread::spawn(|| {
        let mut stdin = io::stdin().lock();
        while stdin.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        process::exit(0);
    });
}
