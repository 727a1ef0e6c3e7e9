//! Certificates of the tests' own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::guardian;

/// An authority that no system trusts, with a certificate of its for `localhost`, in a temporary
/// directory that goes with it. A server that reads its files must end before.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

const NEW: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

impl Authority {
    /// Makes them.
    ///
    /// # Panics
    /// When openssl is not installed.
    #[must_use]
    pub fn new() -> Self {
        let directory = guardian::directory("authority");
        openssl(&directory, &format!("{NEW} -keyout ca.key -out ca.pem -subj /CN=tests"));
        let whose = "-subj /CN=localhost -addext subjectAltName=DNS:localhost";
        let by = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
        openssl(&directory, &format!("{NEW} -keyout key.pem -out cert.pem {whose} {by}"));
        openssl(&directory, &format!("{NEW} -keyout o.key -out other.pem -subj /CN=other"));
        Self { directory }
    }

    /// Where a file of it is: `ca.pem`, `cert.pem` and `key.pem`, and the `other.pem` of an
    /// authority that has signed nothing.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    /// Runs a test of this executable in a process that trusts this one of its files alone, and
    /// has the variable `name` set to `value`.
    ///
    /// # Panics
    /// When the test fails, or there is none of this name.
    pub fn trusted_by(&self, test: &str, file: &str, (name, value): (&str, &str)) {
        let output = Command::new(env::current_exe().expect("it runs"))
            .args(["--exact", test, "--nocapture"])
            .env(name, value)
            .env("SSL_CERT_FILE", self.file(file))
            .output()
            .expect("it is started again");
        let said = String::from_utf8_lossy(&output.stderr);
        let did = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && did.contains("1 passed"), "{did}{said}");
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).expect("it is this process's own");
    }
}

fn openssl(directory: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(directory).output();
    let output = output.expect("it comes with Debian's postgresql: cargo xtask test servers");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
