//! Fences without a layer: a call comes in and is gone.

use std::{hint::black_box, num::NonZeroUsize};

use futures::FutureExt;
use steadfast_lease::{Fence, FenceConfig, Fenced, Fences, Pass};

use super::{
    requests::{RESOURCES, path, resource, token},
    row,
};
use crate::row::{Family, Row};

pub(super) fn rows() -> Vec<Row> {
    let fence = Fence::new(FenceConfig::new()).expect("the defaults are valid");
    let (entered, tried, fences) = (fence.clone(), fence, fences());
    let rows = [
        row(Family::Ours, "Fence::try_enter, and gone", move |_| {
            black_box(tried.try_enter(black_box(token()))).is_ok()
        }),
        row(Family::Ours, "Fence::enter, and gone", move |_| {
            passes(entered.enter(black_box(token())))
        }),
        row(Family::Ours, "Fences::enter, 1,000 resources, and gone", move |number| {
            passes(fences.enter(black_box(path(resource(number))), token()))
        }),
    ];
    // Each for itself.
    rows.map(|row| Row { over: row.name, ..row }).into()
}

fn passes(call: impl Future<Output = Result<Pass, Fenced>>) -> bool {
    call.now_or_never().is_some_and(|passed| black_box(passed).is_ok())
}

/// Fences that know all resources.
pub(crate) fn fences() -> Fences {
    let most = NonZeroUsize::new(RESOURCES).expect("there are some");
    let fences = Fences::new(FenceConfig::new(), most).expect("the defaults are valid");
    for resource in 0..RESOURCES {
        assert!(passes(fences.enter(path(resource), token())), "nothing is in the way");
    }
    fences
}
