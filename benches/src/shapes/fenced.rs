//! The layers of leases: for the section of their own.

use std::{borrow::Cow, time::Duration};

use http::Request;
use steadfast_lease::http::{FenceLayer, FencedClientLayer};

use crate::{
    leases::{TOKENED, TOKENLESS, fences::fences, holder::lease},
    row::Row,
};

/// The rows of a layer in each shape, round a handler of a type of its own.
macro_rules! requests {
    ($family:ident, $name:expr, $layer:expr, $has_token:literal) => {
        requests!($family, $name, $layer, $has_token,
            [Loop by calls, Sites by sites, Boxed by boxed, Cloned by clones])
    };
    ($family:ident, $name:expr, $layer:expr, $has_token:literal,
        [$($shape:ident by $subject:ident),*]) => {
        [$({
            use $crate::{leases::requests::{Numbered, handler}, row::{Family, Shape}, shapes};
            let service = tower::Layer::layer(&$layer, handler::<{ Shape::$shape as usize }>());
            let subject = shapes::$subject(Numbered::<_, $has_token>(service));
            shapes::row(Family::$family, $name, Shape::$shape, subject)
        }),*]
    };
}

pub(crate) fn rows() -> Vec<Row> {
    let layer = FenceLayer::new(fences(), by_path);
    let hands_passes = FenceLayer::new(fences(), by_path).hand_passes();
    let over = |rows: [Row; 4], name| rows.map(|row| row.over(name));
    let resource = [
        requests!(Reference, TOKENED, (), true),
        requests!(Ours, "FenceLayer, 1,000 resources", layer.clone(), true),
        requests!(Ours, "FenceLayer, passes handed on", hands_passes.clone(), true),
    ];
    let client = FencedClientLayer::new(lease(), Duration::from_secs(1));
    let numbered = FencedClientLayer::new(lease(), Duration::from_secs(1)).numbered();
    let clients = [
        requests!(Reference, TOKENLESS, (), false),
        requests!(Ours, "FencedClientLayer", client.clone(), false),
        requests!(Ours, "FencedClientLayer, numbered", numbered.clone(), false),
    ];
    let resource = resource.into_iter().flat_map(|rows| over(rows, TOKENED));
    resource.chain(clients.into_iter().flat_map(|rows| over(rows, TOKENLESS))).collect()
}

// Such a function borrows from the request, which it names the lifetime for.
fn by_path(request: &Request<()>) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(request.uri().path()))
}
