//! What is measured, and where.

use crate::BoxError;

pub(crate) struct Options {
    stores: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) redis: Option<String>,
    pub(crate) postgres: Option<String>,
}

const STORES: [&str; 3] = ["redis", "sqlite", "postgres"];

impl Options {
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self { stores: Vec::new(), rounds: 3000, redis: None, postgres: None };
        for word in words {
            if word.starts_with("redis://") {
                options.redis = Some(word);
            } else if word.starts_with("postgres://") {
                options.postgres = Some(word);
            } else if STORES.contains(&&*word) {
                options.stores.push(word);
            } else {
                let rounds = word.parse();
                options.rounds =
                    rounds.map_err(|_| format!("`{word}`: no store, URL or number"))?;
            }
        }
        Ok(options)
    }

    pub(crate) fn takes(&self, store: &str) -> bool {
        self.stores.is_empty() || self.stores.iter().any(|taken| taken == store)
    }
}
