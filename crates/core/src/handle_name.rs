//! The names of handles, in refusals that are `Copy`.

use std::{collections::BTreeSet, fmt, sync::Mutex};

use crate::lock::lock;

/// The name of a handle, such as that of the circuit that refused: one pointer, `Copy`.
///
/// Each distinct name is kept once and for as long as the process runs, in a set behind a lock that
/// only a handle takes, as it is made. So the memory is that of the distinct names, however many
/// handles bear them: name handles as metrics are labelled, by what the program knows when it is
/// written, and never by a key, a host that callers choose or a counter.
///
/// It is written in quotes, and escaped as [`Debug`](fmt::Debug) escapes strings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleName(&'static Interned);

/// Behind a thin pointer: grounds are part of each refusal.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Interned(Box<str>);

/// Of handles that were not named.
const UNNAMED: &str = "default";

static NAMES: Mutex<BTreeSet<&'static Interned>> = Mutex::new(BTreeSet::new());

impl HandleName {
    /// The name, kept for as long as the process runs. `None` for `default`, which handles are
    /// called that were given no name: it would tell the reader of a refusal nothing.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if name == UNNAMED {
            return None;
        }
        let wanted = Interned(name.into());
        let mut names = lock(&NAMES);
        if let Some(known) = names.get(&wanted) {
            return Some(Self(known));
        }
        let kept: &'static Interned = Box::leak(Box::new(wanted));
        names.insert(kept);
        Some(Self(kept))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        &self.0.0
    }
}

impl fmt::Debug for HandleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HandleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::{ptr, thread};

    use super::*;

    #[test]
    fn a_name_is_kept_once_whatever_the_number_of_handles_and_threads() {
        let many: Vec<_> = thread::scope(|scope| {
            let name = || (0..1000).map(|_| HandleName::new("kept once")).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(name)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let first = many[0].unwrap();
        assert!(many.iter().all(|name| ptr::eq(name.unwrap().0, first.0)));
        let names = NAMES.lock().unwrap();
        assert_eq!(names.iter().filter(|name| &*name.0 == "kept once").count(), 1);
    }

    #[test]
    fn names_are_told_apart_written_in_quotes_and_escaped() {
        let (a, b) = (HandleName::new("a").unwrap(), HandleName::new("b\n\"").unwrap());
        assert!(a != b && Some(a) == HandleName::new("a"));
        assert_eq!(format!("{a} {b}"), r#""a" "b\n\"""#);
        assert_eq!(b.as_str(), "b\n\"");
    }

    #[test]
    fn a_handle_without_a_name_has_none() {
        assert_eq!(HandleName::new("default"), None);
    }

    #[test]
    fn a_name_is_one_pointer_even_where_there_is_none() {
        assert_eq!(size_of::<Option<HandleName>>(), size_of::<usize>());
    }
}
