//! An etcd of the tests' own, of one node or of three.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use super::guardian::{self, Guardian, missing, mortal};

/// A node of etcd, which ends when it is dropped, and with this process.
///
/// It beats each 50 ms and elects after 500 ms, half of what is usual: it starts sooner so, and
/// grants leases of one second.
#[derive(Debug)]
pub struct EtcdServer {
    port: u16,
    guardian: Guardian,
}

/// Three nodes of etcd, which are one cluster.
#[derive(Debug)]
pub struct EtcdCluster {
    nodes: [EtcdServer; 3],
}

/// How long a node may take to answer while it starts. It reads for five seconds where there is no
/// leader.
const ANSWER: Duration = Duration::from_secs(1);

impl EtcdServer {
    /// Starts a cluster of one node, with these options of its command line as well, such as
    /// `["--quota-backend-bytes", "2097152"]`. In them `{port}` is its port for clients.
    ///
    /// # Panics
    /// When etcd is not installed or does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        find();
        let mut why = String::new();
        // Again when another process was quicker to take a port.
        for _ in 0..3 {
            let place = Place::free("one");
            let members = place.member();
            let node = place.node(&members, options);
            match node.guardian.start(|| is_healthy(node.port)) {
                Ok(()) => return node,
                Err(log) => why = log,
            }
        }
        panic!("etcd has ended:\n{why}");
    }

    /// Where it is, as clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// Its port of the loopback interface, for clients.
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

    /// Kills it if it runs, and starts it with its data on its ports. It is waited for until it has
    /// a leader: of a cluster a majority must be up.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill();
        self.guardian.start(|| is_healthy(self.port)).expect("it starts again");
    }
}

impl EtcdCluster {
    /// Starts three nodes.
    ///
    /// # Panics
    /// When etcd is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        find();
        let mut why = String::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(cluster) => return cluster,
                Err(log) => why = log,
            }
        }
        panic!("a node of etcd has ended:\n{why}");
    }

    fn try_start() -> Result<Self, String> {
        let places = ["one", "two", "three"].map(Place::free);
        let members = places.each_ref().map(Place::member).join(",");
        let nodes = places.map(|place| place.node(&members, &[]));
        // All of them first: each waits for another.
        let pids = nodes.each_ref().map(|node| node.guardian.tell("start"));
        for (node, pid) in nodes.iter().zip(&pids) {
            node.guardian.wait(pid, || is_healthy(node.port))?;
        }
        Ok(Self { nodes })
    }

    /// The nodes, each of which can be killed and stopped by itself.
    #[must_use]
    pub fn nodes(&self) -> &[EtcdServer; 3] {
        &self.nodes
    }

    /// Where all of them are, as clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self.nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port));
        format!("etcd://{}", hosts.join(","))
    }
}

/// Where a node will be.
struct Place {
    name: &'static str,
    /// For clients, and for its peers.
    ports: [u16; 2],
}

impl Place {
    fn free(name: &'static str) -> Self {
        let first = guardian::port();
        let second = loop {
            let port = guardian::port();
            if port != first {
                break port;
            }
        };
        Self { name, ports: [first, second] }
    }

    fn member(&self) -> String {
        format!("{}=http://127.0.0.1:{}", self.name, self.ports[1])
    }

    fn node(&self, members: &str, options: &[&str]) -> EtcdServer {
        let directory = guardian::directory("etcd");
        let data = directory.join("data").to_string_lossy().into_owned();
        let [for_clients, for_peers] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let named = ["etcd", "--name", self.name, "--data-dir", &data];
        let clients =
            ["--listen-client-urls", &for_clients, "--advertise-client-urls", &for_clients];
        let peers = ["--listen-peer-urls", &for_peers, "--initial-advertise-peer-urls", &for_peers];
        let cluster = ["--initial-cluster", members, "--initial-cluster-state", "new"];
        let pace = ["--heartbeat-interval", "50", "--election-timeout", "500"];
        let port = self.ports[0].to_string();
        let options: Vec<_> = options.iter().map(|word| word.replace("{port}", &port)).collect();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let words = [&named[..], &clients, &peers, &cluster, &pace, &options].concat();
        let command = mortal(words.into_iter().map(str::to_owned));
        let guardian = Guardian::new(directory, "KILL", &command);
        EtcdServer { port: self.ports[0], guardian }
    }
}

fn find() {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join("etcd").exists());
    if !found {
        missing("etcd", &"it is not in PATH");
    }
}

/// Whether it has a leader and answers a read that asks it.
fn is_healthy(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}
