//! A Redis of the tests' own.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use super::{
    clock::Clock,
    guardian::{self, Guardian, missing, mortal},
};

/// A Redis server, which ends when it is dropped, and with this process.
///
/// It keeps an append-only file that it syncs every second, and evicts nothing.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    clock: Option<Clock>,
    guardian: Guardian,
}

/// How long a server that has accepted a connection may take to answer while it starts.
const ANSWER: Duration = Duration::from_secs(1);

impl RedisServer {
    /// Starts a server with these options of its command line, such as `["--maxmemory", "2mb"]`.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::launch(options, |_| None)
    }

    /// The same, of a server whose wall clock [can be stepped](Self::step_clock).
    ///
    /// # Panics
    /// As `start`, and when there is no C compiler.
    #[must_use]
    pub fn start_with_clock(options: &[&str]) -> Self {
        Self::launch(options, |directory| Some(Clock::new(directory)))
    }

    fn launch(options: &[&str], clock: impl Fn(&Path) -> Option<Clock>) -> Self {
        let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join("redis-server").exists());
        if !found {
            missing("redis-server", &"it is not in PATH");
        }
        let mut why = String::new();
        // Again when another process was quicker to take the port.
        for _ in 0..3 {
            let port = guardian::port();
            let directory = guardian::directory("redis");
            let clock = clock(&directory);
            let command = command(port, &directory.to_string_lossy(), options);
            let clocked = clock.iter().flat_map(Clock::words).cloned();
            let guardian = Guardian::new(directory, "KILL", &mortal(clocked.chain(command)));
            match guardian.start(|| answers(port)) {
                Ok(()) => return Self { port, clock, guardian },
                Err(log) => why = log,
            }
        }
        panic!("redis-server has ended:\n{why}");
    }

    /// Where it is, as clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port of the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its temporary directory, with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// Kills it. Its data stay.
    pub fn kill(&self) {
        self.guardian.tell("kill");
    }

    /// Stops it, as a paused machine stops: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.guardian.tell("stop");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.guardian.tell("resume");
    }

    /// Sets its wall clock forward by so many seconds, or back. It keeps what it is off by over a
    /// restart.
    ///
    /// # Panics
    /// When it was started without a clock of its own.
    pub fn step_clock(&self, seconds: i64) {
        self.clock.as_ref().expect("it was started with a clock").step(seconds);
    }

    /// Kills it if it runs, and starts it with its data on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill();
        self.guardian.start(|| answers(self.port)).expect("it starts again");
    }
}

fn command(port: u16, directory: &str, options: &[&str]) -> Vec<String> {
    let port = port.to_string();
    let own = ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--dir", directory];
    let kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    let never = ["--maxmemory-policy", "noeviction", "--daemonize", "no"];
    [&own[..], &kept, &never, options].concat().into_iter().map(str::to_owned).collect()
}

/// While it loads its data it answers otherwise. One that wants a password is up, too.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| [b"+PONG\r\n", b"-NOAUTH"].contains(&&answer))
}
