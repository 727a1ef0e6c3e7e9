//! The lines of the tables.

use std::fmt;

use crate::subject::Subject;

/// The name of the row that all others but the failing ones are measured against.
pub const BARE: &str = "bare service";

/// The name of the row that those with failures are measured against.
pub const FAILING: &str = "bare service, 1 % failures";

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// What there is without any layer.
    Reference,
    /// A layer of this workspace.
    Ours,
    /// A layer, a clock or a rule of another project.
    Peer,
}

/// What happens to the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// There is no layer.
    Baseline,
    /// They pass.
    Happy,
    /// They are refused.
    Refused,
    /// There are none: a clock is read, or gives out a timestamp.
    Clock,
    /// There are none: a rule is asked what votes decide.
    Votes,
    /// There are none: a detector is told of a heartbeat, or asked.
    Detector,
}

/// How a program calls a service: what the compiler sees of the calls, and what it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One loop makes the service ready, calls it and polls the future: all of it can become one
    /// piece of code.
    Loop,
    /// Two loops of one `async` block, which call it by `service.ready().await?.call(n).await`:
    /// what is called from two places stays a function.
    Sites,
    /// Two call sites, and the layers stand under `guard`.
    Guarded,
    /// Two call sites of a `BoxCloneService`, as axum boxes its routes.
    Boxed,
    /// The same, and the layers stand under `guard`.
    BoxedGuarded,
    /// Two call sites that clone the service for each call, as an axum handler does with its state.
    Cloned,
    /// The same, and the layers stand under `guard`.
    ClonedGuarded,
}

impl Shape {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Loop,
        Self::Sites,
        Self::Guarded,
        Self::Boxed,
        Self::BoxedGuarded,
        Self::Cloned,
        Self::ClonedGuarded,
    ];

    /// As it stands in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loop => "hot loop",
            Self::Sites => "two sites",
            Self::Guarded => "two sites, guard",
            Self::Boxed => "boxed",
            Self::BoxedGuarded => "boxed, guard",
            Self::Cloned => "cloned",
            Self::ClonedGuarded => "cloned, guard",
        }
    }
}

/// One line of the table.
pub struct Row {
    /// What is measured, as it stands in the table.
    pub name: &'static str,
    /// How the program calls it, in the table that compares such programs. In all others it is one
    /// loop.
    pub shape: Option<Shape>,
    /// Where it comes from.
    pub family: Family,
    /// What happens to the requests.
    pub group: Group,
    /// The row of the same shape whose time is taken off this one's; itself, where only the whole
    /// time means something.
    pub over: &'static str,
    /// Out of a hundred calls.
    pub successes: u64,
    /// Whether more than one thread can call it without waiting for a timer.
    pub contended: bool,
    /// So many calls touch all that it holds once, if that is more than a cache has place for: it
    /// is measured by whole passes, each after one that is not.
    pub pass: Option<u64>,
    /// What makes the calls.
    pub subject: Box<dyn Subject>,
}

impl Row {
    pub(crate) fn new(
        family: Family,
        group: Group,
        name: &'static str,
        subject: Box<dyn Subject>,
    ) -> Self {
        let successes = if group == Group::Refused { 0 } else { 100 };
        let (shape, over, contended, pass) = (None, BARE, true, None);
        Self { name, shape, family, group, over, successes, contended, pass, subject }
    }

    pub(crate) fn in_shape(self, shape: Shape) -> Self {
        Self { shape: Some(shape), ..self }
    }

    pub(crate) fn over(self, over: &'static str) -> Self {
        Self { over, ..self }
    }

    pub(crate) fn succeeds_in(self, successes: u64) -> Self {
        Self { successes, ..self }
    }

    pub(crate) fn uncontended(self) -> Self {
        Self { contended: false, ..self }
    }

    pub(crate) fn in_passes(self, calls: usize) -> Self {
        Self { pass: Some(calls as u64), ..self }
    }

    /// Its name, and its shape if it has one: no other row of any table has the same.
    #[must_use]
    pub fn id(&self) -> String {
        id(self.name, self.shape)
    }

    /// The id of the row whose time is taken off this one's.
    #[must_use]
    pub fn over_id(&self) -> String {
        id(self.over, self.shape)
    }

    /// Makes enough calls to be in the steady state, and makes sure that the subject does what the
    /// row says.
    ///
    /// # Panics
    /// When it does not: what is measured would mean nothing.
    pub fn warm_up(&mut self) {
        const CALLS: u64 = 10_000;
        let succeeded = self.subject.run(CALLS);
        assert_eq!(succeeded, CALLS / 100 * self.successes, "{}: successes", self.id());
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("id", &self.id())
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

fn id(name: &str, shape: Option<Shape>) -> String {
    shape.map_or_else(|| name.to_owned(), |shape| format!("{name}: {}", shape.name()))
}
