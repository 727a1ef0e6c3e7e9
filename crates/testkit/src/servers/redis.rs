//! A Redis of the tests' own.

use std::{
    env, fs,
    io::{self, Read, Write},
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

/// Three masters without replicas, which are one cluster.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: [RedisServer; 3],
}

/// What changes while it runs stands in a file.
const CONFIG: &str = "redis.conf";
/// Otherwise a write may be missing that was acknowledged up to two seconds before a kill: while
/// the file is synced, the server does not write to it.
const ALWAYS: [&str; 2] = ["--appendfsync", "always"];
/// Of a cluster.
const SLOTS: u32 = 16_384;
/// How long a server that has accepted a connection may take to answer while it starts.
const ANSWER: Duration = Duration::from_secs(1);

impl RedisServer {
    /// Starts a server with these options of its command line, such as `["--maxmemory", "2mb"]`.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::launch(options, "", false)
    }

    /// The same, of a server whose wall clock [can be stepped](Self::step_clock).
    ///
    /// # Panics
    /// As `start`, and when there is no C compiler.
    #[must_use]
    pub fn start_with_clock(options: &[&str]) -> Self {
        Self::launch(options, "", true)
    }

    fn launch(options: &[&str], config: &str, has_clock: bool) -> Self {
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
            fs::write(directory.join(CONFIG), config).expect("it was made a moment ago");
            let clock = has_clock.then(|| Clock::new(&directory));
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

    /// Starts a replica of this server, and waits until it has what this one has. It syncs its
    /// file at every write, and has a clock of its own if this one has.
    ///
    /// What is acknowledged here while the replica is down is not there, and is lost when it is
    /// promoted: kill the replica, write, kill this one, restart the replica, promote it.
    ///
    /// # Panics
    /// When it does not start, or cannot reach this server.
    #[must_use]
    pub fn replica(&self) -> Self {
        let config = format!("replicaof 127.0.0.1 {}\n", self.port);
        let replica = Self::launch(&ALWAYS, &config, self.clock.is_some());
        let has_all = || {
            let told = replica.ask("INFO everything");
            // What it was sent at first is in its file when that was rewritten.
            told.contains("master_link_status:up")
                && told.contains("aof_rewrite_in_progress:0")
                && told.contains("aof_rewrite_scheduled:0")
        };
        assert!(guardian::comes(has_all), "the replica does not reach its master");
        replica
    }

    /// Makes a replica a server of its own, with what it has, also over restarts.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn promote(&self) {
        self.must("REPLICAOF NO ONE");
        fs::write(self.directory().join(CONFIG), "").expect("it was made with the server");
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

    /// Kills it if it runs, removes its file, and starts it on its port: with nothing.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_empty(&self) {
        self.kill();
        // One that keeps none has none.
        let _ = fs::remove_dir_all(self.directory().join("appendonlydir"));
        self.restart();
    }

    /// A command that is answered by nothing but OK.
    fn must(&self, command: &str) {
        let told = self.ask(command);
        assert!(told.starts_with("+OK"), "{command}: {told}");
    }

    /// What it answers to a command, with what marks it in the protocol.
    fn ask(&self, command: &str) -> String {
        ask(self.port, command).expect("it answers")
    }
}

impl RedisCluster {
    /// Starts three masters, each with a third of the slots. They sync their files at every write.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let mut buses = [0; 3];
        let nodes = buses.each_mut().map(|bus| {
            *bus = guardian::port();
            let port = bus.to_string();
            let clustered = ["--cluster-enabled", "yes", "--cluster-port", &port];
            RedisServer::start(&[&clustered[..], &ALWAYS].concat())
        });
        let third = SLOTS / 3;
        for (n, node) in (0..).zip(&nodes) {
            let (first, last) = (n * third, if n == 2 { SLOTS } else { (n + 1) * third } - 1);
            node.must(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            node.must(&format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1));
        }
        for (node, bus) in nodes.iter().zip(buses).skip(1) {
            nodes[0].must(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port));
        }
        let is_whole = |node: &RedisServer| {
            let told = node.ask("CLUSTER INFO");
            told.contains("cluster_state:ok") && told.contains("cluster_size:3")
        };
        assert!(guardian::comes(|| nodes.iter().all(is_whole)), "the nodes do not find each other");
        Self { nodes }
    }

    /// The nodes, each of which can be killed and stopped by itself. They know each other by their
    /// ports: a restart leaves the cluster whole.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer; 3] {
        &self.nodes
    }

    /// Where all of them are, as clients take it.
    #[must_use]
    pub fn urls(&self) -> [String; 3] {
        self.nodes.each_ref().map(RedisServer::url)
    }
}

fn command(port: u16, directory: &str, options: &[&str]) -> Vec<String> {
    let (port, config) = (port.to_string(), format!("{directory}/{CONFIG}"));
    let own = ["redis-server", &config, "--port", &port, "--bind", "127.0.0.1", "--dir", directory];
    let kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    let never = ["--maxmemory-policy", "noeviction", "--daemonize", "no"];
    // A replica is not kept waiting for others that might come.
    let sync = ["--repl-diskless-sync-delay", "0"];
    [&own[..], &kept, &never, &sync, options].concat().into_iter().map(str::to_owned).collect()
}

/// While it loads its data it answers otherwise. One that wants a password is up, too.
fn answers(port: u16) -> bool {
    ask(port, "PING").is_ok_and(|told| told.starts_with("+PONG") || told.starts_with("-NOAUTH"))
}

fn ask(port: u16, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    // Then it ends the connection, and with that its answer.
    write!(stream, "{command}\r\nQUIT\r\n")?;
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    Ok(told)
}
