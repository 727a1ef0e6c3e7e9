//! Closed sets of labels.

/// A closed set of labels for one metric: how a call ended, which state a circuit is in.
///
/// A label comes from the value itself, by a `match` that the compiler keeps complete, and every
/// type that is typed by the set finds its metric by the value: two labels cannot trade places, in
/// whatever order they are listed.
///
/// ```
/// use steadfast_core::parts::Labels;
///
/// #[derive(Clone, Copy)]
/// enum Outcome {
///     Answered,
///     Refused,
/// }
///
/// impl Labels for Outcome {
///     const KEY: &'static str = "outcome";
///     const ALL: &'static [Self] = &[Self::Answered, Self::Refused];
///
///     fn label(self) -> &'static str {
///         match self {
///             Self::Answered => "answered",
///             Self::Refused => "refused",
///         }
///     }
///
///     fn index(self) -> usize {
///         self as usize
///     }
/// }
/// ```
pub trait Labels: Copy + 'static {
    /// The label's key, such as `outcome` or `state`.
    const KEY: &'static str;

    /// Every member, each once. A member that is missing here is not counted, which debug builds
    /// refuse with a panic.
    const ALL: &'static [Self];

    /// The label's value. Part of the contract with dashboards.
    fn label(self) -> &'static str;

    /// The member's number, from 0 without gaps: `self as usize` for an enum whose variants have no
    /// values of their own.
    fn index(self) -> usize;
}

/// No label: a metric that carries the layer's name only.
impl Labels for () {
    const KEY: &'static str = "";
    const ALL: &'static [Self] = &[()];

    fn label(self) -> &'static str {
        ""
    }

    fn index(self) -> usize {
        0
    }
}

/// What `make` makes of each member, placed by its index.
#[cfg(feature = "metrics")]
pub(crate) fn by_index<L: Labels, T>(make: impl FnMut(L) -> T) -> Box<[T]> {
    let mut members = L::ALL.to_vec();
    members.sort_by_key(|member| member.index());
    debug_assert!(
        members.iter().enumerate().all(|(place, member)| member.index() == place),
        "the members of {} are not numbered from 0 without gaps",
        L::KEY
    );
    members.into_iter().map(make).collect()
}

/// The metric's labels: the layer's name under `layer`, and the member's own.
#[cfg(feature = "metrics")]
pub(crate) fn labels<L: Labels>(
    layer: &'static str,
    name: &std::sync::Arc<str>,
    member: L,
) -> Vec<metrics::Label> {
    let name = metrics::Label::new(layer, std::sync::Arc::clone(name));
    if L::KEY.is_empty() {
        vec![name]
    } else {
        vec![name, metrics::Label::from_static_parts(L::KEY, member.label())]
    }
}
