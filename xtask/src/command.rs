//! Running commands: printed, bounded in time, and told in full when they fail.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Failure;

/// Longer than any command takes on a slow machine; what hangs must not hang the whole run.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One command line.
pub(crate) struct Cmd {
    command: Command,
    env: Vec<(String, String)>,
    limit: Duration,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(directory);
        Self { command, env: Vec::new(), limit: LIMIT }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Runs it to its end, with its output where ours goes.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let line = self.line();
        eprintln!("$ {line}");
        let mut child =
            self.command.spawn().map_err(|error| format!("cannot start `{line}`: {error}"))?;
        match wait(&mut child, self.limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{status}: {line}").into()),
            None => Err(format!("not done after {} s: {line}", self.limit.as_secs()).into()),
        }
    }

    /// Runs it to its end and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        let line = self.line();
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot start `{line}`: {error}"))?;
        if !output.status.success() {
            return Err(format!("{}: {line}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn line(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}={value:?}"));
        let program = Path::new(self.command.get_program()).file_name().unwrap_or_default();
        let args = self.command.get_args().map(|arg| arg.to_string_lossy().into_owned());
        env.chain([program.to_string_lossy().into_owned()])
            .chain(args)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Waits for the end, or kills the command at the limit.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, Failure> {
    let since = now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if now().saturating_duration_since(since) > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::park_timeout(LOOK);
    }
}

/// Does something and says how long it took.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let since = now();
    let result = act();
    (result, now().saturating_duration_since(since))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a task on a real machine, not a layer: it has no other clock to follow"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Cmd {
        Cmd::new("sh", Path::new("/")).args(["-c", script])
    }

    #[test]
    fn a_failure_names_the_whole_command_line() {
        let failure = shell("exit $CODE").env("CODE", "3").run().unwrap_err().to_string();
        assert_eq!(failure, "exit status: 3: CODE=\"3\" sh -c exit $CODE");
        assert!(shell("exit 3").output().is_err());
        assert!(
            Cmd::new("no-such-program", Path::new("/"))
                .run()
                .unwrap_err()
                .to_string()
                .contains("no-such-program")
        );
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_its_limit() {
        let failure =
            shell("exec sleep 600").limit(Duration::from_millis(50)).run().unwrap_err().to_string();
        assert!(failure.starts_with("not done after 0 s"), "{failure}");
    }

    #[test]
    fn what_a_command_prints_comes_back() {
        assert_eq!(shell("echo said").output().unwrap(), "said\n");
        assert!(shell("true").run().is_ok());
    }
}
