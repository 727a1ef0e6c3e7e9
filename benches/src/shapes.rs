//! What a layer costs in programs of different shapes: the same subjects, called in each of them.

use tower::{Service, util::BoxCloneService};

use crate::{
    row::{BARE, Family, Group, Row, Shape},
    subject::{Calls, Clones, Sites, Subject},
};

/// The rows of a layer in so many shapes, each over a bare service of a type of its own.
///
/// A macro, because these types have no names: a function could not ask for a layer over all of
/// them. Each shape makes one kind of subject out of its service and no other, or its code would be
/// called from more places than the shape has.
macro_rules! rows {
    ($family:ident, $name:expr, $layer:expr, $error:ty, [$($shape:ident by $subject:ident),*]) => {
        vec![$({
            use $crate::{row::{Family, Shape}, service::bare_for, shapes};
            let inner = bare_for::<$error, { Shape::$shape as usize }>();
            let subject = shapes::$subject(tower::Layer::layer(&$layer, inner));
            shapes::row(Family::$family, $name, Shape::$shape, subject)
        }),*]
    };
}

/// The shapes without `guard`. Unless said otherwise the inner service's error is a `BoxError`,
/// which all peers can take.
macro_rules! unguarded {
    ($family:ident, $name:expr, $layer:expr) => {
        unguarded!($family, $name, $layer, tower::BoxError)
    };
    ($family:ident, $name:expr, $layer:expr, $error:ty) => {
        rows!(
            $family,
            $name,
            $layer,
            $error,
            [Loop by calls, Sites by sites, Boxed by boxed, Cloned by clones]
        )
    };
}

/// All shapes. Under `guard` the inner service's error is a foreign one.
macro_rules! in_every_shape {
    ($family:ident, $name:expr, $layer:expr) => {{
        let unguarded: Vec<$crate::row::Row> = unguarded!($family, $name, $layer);
        let guarded: Vec<$crate::row::Row> = rows!(
            $family,
            $name,
            steadfast_core::guard($layer),
            std::io::Error,
            [Guarded by sites, BoxedGuarded by boxed, ClonedGuarded by clones]
        );
        unguarded.into_iter().chain(guarded)
    }};
}

pub(crate) mod fenced;
pub(crate) mod injected;
mod ours;
mod peers;
pub(crate) mod watched;

/// The rows of the shapes, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn shapes() -> Vec<Row> {
    let bare = in_every_shape!(Reference, BARE, ());
    let mut rows: Vec<Row> = bare.chain(ours::rows()).chain(peers::rows()).collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}

fn row(family: Family, name: &'static str, shape: Shape, subject: Box<dyn Subject>) -> Row {
    let row = Row::new(family, Group::Happy, name, subject).in_shape(shape);
    match shape {
        Shape::Loop | Shape::Sites | Shape::Guarded | Shape::Cloned => row,
        // What a box does, the allocator does.
        Shape::Boxed | Shape::BoxedGuarded | Shape::ClonedGuarded => row.uncontended(),
    }
}

fn calls<S>(service: S) -> Box<dyn Subject>
where
    S: Service<u64> + Clone + Send + 'static,
{
    Box::new(Calls(service))
}

fn sites<S>(service: S) -> Box<dyn Subject>
where
    S: Service<u64> + Clone + Send + 'static,
{
    Box::new(Sites(service))
}

fn boxed<S>(service: S) -> Box<dyn Subject>
where
    S: Service<u64, Future: Send> + Clone + Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    Box::new(Sites(BoxCloneService::new(service)))
}

fn clones<S>(service: S) -> Box<dyn Subject>
where
    S: Service<u64> + Clone + Send + 'static,
{
    Box::new(Clones(service))
}
