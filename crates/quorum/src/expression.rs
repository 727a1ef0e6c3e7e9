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
///
/// However long a chain of one operator is, it is one level: `a & b & c` is all of three. Where a
/// node stands twice in a chain it counts once, as in logic; in a list it is refused. What nests
/// more than 32 levels deep is no expression any more: it is forgotten as it is built, and refused
/// by [`Expression::new`]. So none takes more stack than 32 levels do, to be copied, shown or
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr {
    term: Term,
    /// How many levels of gates it has.
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Term {
    Node(usize),
    Choose {
        needed: usize,
        of: Vec<Expr>,
    },
    /// A chain of an operator.
    Chain {
        operator: Operator,
        of: Vec<Expr>,
    },
    /// What was there nested too deeply.
    TooDeep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    And,
    Or,
}

/// Real quorum systems nest two or three deep. Each level is a call on the stack. Counted from the
/// gates inside the outermost one.
const MOST_DEEP: usize = 32;

impl Expr {
    /// All of these.
    #[must_use]
    pub fn all<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        let of = collect(of);
        Self::gate(of.len(), of)
    }

    /// Any one of these.
    #[must_use]
    pub fn any<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        Self::choose(1, of)
    }

    /// `needed` of these, whichever they are.
    #[must_use]
    pub fn choose<E: Into<Self>>(needed: usize, of: impl IntoIterator<Item = E>) -> Self {
        Self::gate(needed, collect(of))
    }

    /// More than half of these.
    #[must_use]
    pub fn majority<E: Into<Self>>(of: impl IntoIterator<Item = E>) -> Self {
        let of = collect(of);
        Self::gate(of.len() / 2 + 1, of)
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

    /// One level more than the deepest inside it.
    fn gate(needed: usize, of: Vec<Self>) -> Self {
        let deepest = of.iter().map(|expr| expr.depth).max().unwrap_or(0);
        Self::at(deepest + 1, Term::Choose { needed, of })
    }

    /// Whether it is more than a node.
    fn is_gate(&self) -> bool {
        !matches!(self.term, Term::Node(_))
    }

    /// So many levels deep, unless that is too deep. So is what has something too deep inside.
    fn at(depth: usize, term: Term) -> Self {
        if depth > MOST_DEEP + 1 {
            return Self { term: Term::TooDeep, depth: MOST_DEEP + 1 };
        }
        Self { term, depth }
    }

    /// The two by an operator, in one chain with what the same operator has built before. The order
    /// in a chain means nothing.
    fn chain(self, operator: Operator, other: Self) -> Self {
        let links = |expr: Self| match expr.term {
            Term::Chain { operator: its, of } if its == operator => (of, expr.depth),
            term => {
                let depth = expr.depth;
                (vec![Self { term, depth }], depth + 1)
            }
        };
        let ((one, depth), (other, its_depth)) = (links(self), links(other));
        // The shorter is added to the longer, so that chains are built in linear time.
        let (mut of, shorter) = if one.len() < other.len() { (other, one) } else { (one, other) };
        of.extend(shorter);
        Self::at(depth.max(its_depth), Term::Chain { operator, of })
    }
}

fn collect<E: Into<Expr>>(of: impl IntoIterator<Item = E>) -> Vec<Expr> {
    of.into_iter().map(Into::into).collect()
}

impl From<usize> for Expr {
    /// This node.
    fn from(node: usize) -> Self {
        Self { term: Term::Node(node), depth: 0 }
    }
}

impl<E: Into<Self>> std::ops::BitAnd<E> for Expr {
    type Output = Self;

    /// Both.
    fn bitand(self, other: E) -> Self {
        self.chain(Operator::And, other.into())
    }
}

impl<E: Into<Self>> std::ops::BitOr<E> for Expr {
    type Output = Self;

    /// Either.
    fn bitor(self, other: E) -> Self {
        self.chain(Operator::Or, other.into())
    }
}
