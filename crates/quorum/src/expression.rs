//! Rules built of *and*, *or* and *choose*.

mod compiled;
mod table;

pub use compiled::Expression;

/// A rule as one writes it down: nodes, all of several, any of them, so many of them, each again an
/// expression.
///
/// Grids and hierarchies are built from these. It becomes a rule by [`Expression::new`]. (M.
/// Whittaker et al.: *Read-Write Quorum Systems Made Practical*, PaPoC 2021.)
///
/// ```
/// use steadfast_quorum::{Expr, Expression, NodeSet, Rule};
///
/// // A majority of three sites, by a majority of each.
/// let site = |first| Expr::choose(2, first..first + 3);
/// let rule = Expression::new(Expr::choose(2, [site(0), site(3), site(6)]))?;
/// assert!(rule.is_quorum(NodeSet::of([0, 1, 7, 8])?));
/// assert_eq!(rule.resilience()?, 3);
///
/// // The same in operators: node 0 with node 1, or any two of 2, 3 and 4.
/// let rule = Expression::new((Expr::from(0) & 1) | Expr::choose(2, [2, 3, 4]))?;
/// assert!(rule.is_quorum(NodeSet::of([2, 4])?));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr(Term);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Term {
    Node(usize),
    Choose { needed: usize, of: Vec<Expr> },
}

impl Expr {
    /// All of these.
    #[must_use]
    pub fn all<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        let of = collect(of);
        Self(Term::Choose { needed: of.len(), of })
    }

    /// Any one of these.
    #[must_use]
    pub fn any<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        Self::choose(1, of)
    }

    /// `needed` of these, whichever they are.
    #[must_use]
    pub fn choose<E: Into<Self>>(needed: usize, of: impl IntoIterator<Item = E>) -> Self {
        Self(Term::Choose { needed, of: collect(of) })
    }

    /// More than half of these.
    #[must_use]
    pub fn majority<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        let of = collect(of);
        Self(Term::Choose { needed: of.len() / 2 + 1, of })
    }

    /// A grid of so many rows and columns, numbered row by row: all of one row and one node of each
    /// row. Any two such have a node in common.
    ///
    /// (S. Y. Cheung, M. H. Ammar, M. Ahamad: *The Grid Protocol*, 1992, with rows for columns.)
    #[must_use]
    pub fn grid(rows: usize, columns: usize) -> Self {
        let row = |row: usize| row * columns..(row + 1) * columns;
        let whole = Self::any((0..rows).map(|number| Self::all(row(number))));
        let across = Self::all((0..rows).map(|number| Self::any(row(number))));
        whole & across
    }
}

fn collect<E: Into<Expr>>(of: impl IntoIterator<Item = E>) -> Vec<Expr> {
    of.into_iter().map(Into::into).collect()
}

impl From<usize> for Expr {
    /// This node.
    fn from(node: usize) -> Self {
        Self(Term::Node(node))
    }
}

impl<E: Into<Self>> std::ops::BitAnd<E> for Expr {
    type Output = Self;

    /// Both.
    fn bitand(self, other: E) -> Self {
        Self::all([self, other.into()])
    }
}

impl<E: Into<Self>> std::ops::BitOr<E> for Expr {
    type Output = Self;

    /// Either.
    fn bitor(self, other: E) -> Self {
        Self::any([self, other.into()])
    }
}
