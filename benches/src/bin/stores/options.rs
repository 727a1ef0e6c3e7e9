//! What is measured, and where.

use crate::BoxError;

pub(crate) struct Options {
    stores: Vec<String>,
    pub(crate) is_of_leases: bool,
    pub(crate) rounds: usize,
    pub(crate) etcd: Option<String>,
    pub(crate) redis: Option<String>,
    pub(crate) postgres: Option<String>,
}

const STORES: [&str; 3] = ["redis", "sqlite", "postgres"];
const OF_LEASES: [&str; 4] = ["file", "redis", "postgres", "etcd"];

impl Options {
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self {
            stores: Vec::new(),
            is_of_leases: false,
            rounds: 3000,
            etcd: None,
            redis: None,
            postgres: None,
        };
        for word in words {
            if word.starts_with("redis://") {
                options.redis = Some(word);
            } else if word.starts_with("postgres://") {
                options.postgres = Some(word);
            } else if word.starts_with("etcd://") {
                options.etcd = Some(word);
            } else if word == "leases" {
                options.is_of_leases = true;
            } else if options.stores().contains(&&*word) {
                options.stores.push(word);
            } else {
                let rounds = word.parse();
                options.rounds =
                    rounds.map_err(|_| format!("`{word}`: no store, URL or number"))?;
            }
        }
        Ok(options)
    }

    /// Those that there are.
    const fn stores(&self) -> &'static [&'static str] {
        if self.is_of_leases { &OF_LEASES } else { &STORES }
    }

    pub(crate) fn takes(&self, store: &str) -> bool {
        self.stores.is_empty() || self.stores.iter().any(|taken| taken == store)
    }
}
