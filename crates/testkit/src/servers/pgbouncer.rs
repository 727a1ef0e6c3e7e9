//! A pooler of the tests' own, in front of a PostgreSQL.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    guardian::{self, Guardian, missing},
    postgres::{self, PostgresServer},
};

/// PgBouncer in transaction mode, in front of a [`PostgresServer`], with four connections to it. It
/// ends when it is dropped, and with this process.
///
/// A client has a connection of the server's for as long as a transaction: two statements in a row
/// may meet two. Every client of the loopback interface is let in.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    guardian: Guardian,
}

/// Where Debian has it, which is in no other user's `PATH` than root's.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
const CONFIG: &str = "pgbouncer.ini";

impl PgBouncer {
    /// Starts it with these lines in its configuration as well, such as `["pool_mode = session"]`,
    /// of which the last of a name counts.
    ///
    /// # Panics
    /// When PgBouncer is not installed or does not start.
    #[must_use]
    pub fn start(server: &PostgresServer, settings: &[&str]) -> Self {
        let program = program().to_string_lossy().into_owned();
        let mut why = String::new();
        // Again when another process was quicker to take the port.
        for _ in 0..3 {
            let port = guardian::port();
            let directory = guardian::directory("pgbouncer");
            let config = config(port, server.port(), settings);
            fs::write(directory.join(CONFIG), config).expect("it was made a moment ago");
            // It does not run as root, either.
            let command = postgres::as_user(&postgres::user(&directory), &[&program, CONFIG]);
            let guardian = Guardian::new(directory, "KILL", &command);
            match guardian.start(|| postgres::answers(server.programs(), port)) {
                Ok(()) => return Self { port, guardian },
                Err(log) => why = log,
            }
        }
        panic!("pgbouncer has ended:\n{why}");
    }

    /// Where the server's database is behind it, as clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/postgres", postgres::USER, self.port)
    }

    /// Its port of the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its temporary directory, with its configuration and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// Kills it, and with it the connections of its clients.
    pub fn kill(&self) {
        self.guardian.tell("kill");
    }
}

fn config(port: u16, server: u16, settings: &[&str]) -> String {
    let user = postgres::USER;
    let settings = settings.join("\n");
    // By any name a client is the superuser. sqlx asks for digits of floats when it connects.
    format!(
        "[databases]
* = host=127.0.0.1 port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
{settings}
"
    )
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(PLACES.map(PathBuf::from))
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.exists())
        .unwrap_or_else(|| missing("pgbouncer", &"it is neither in PATH nor in /usr/sbin"))
}
