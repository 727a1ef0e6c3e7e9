//! Which budgets have counted a request.

use http::Extensions;

use crate::budget::Budget;

/// So many budgets at most are remembered. Layers of retries multiply: three attempts in each of
/// five layers are 243.
const MOST: usize = 4;

/// The budgets that have counted a request, in its extensions; zeros where there is no more.
#[derive(Clone, Copy, Debug, Default)]
struct Counted([u64; MOST]);

/// Whether `budget` has counted the request, which it has from now on. Beyond [`MOST`] budgets it
/// is counted again: that gives a budget more, as it did for all of them before there was this.
pub(super) fn is_counted(extensions: &mut Extensions, budget: &Budget) -> bool {
    let id = budget.id();
    let Some(Counted(ids)) = extensions.get_mut() else {
        let mut ids = [0; MOST];
        ids[0] = id;
        extensions.insert(Counted(ids));
        return false;
    };
    if ids.contains(&id) {
        return true;
    }
    if let Some(free) = ids.iter_mut().find(|id| **id == 0) {
        *free = id;
    }
    false
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_budget_counts_a_request_once_and_clones_are_one_budget() {
        let mut request = Extensions::new();
        let budgets: [Budget; MOST] = std::array::from_fn(|_| Budget::default());
        for budget in &budgets {
            assert!(!is_counted(&mut request, budget));
        }
        for budget in &budgets {
            assert!(is_counted(&mut request, &budget.clone()));
        }
        let one_more = Budget::default();
        assert!(!is_counted(&mut request, &one_more) && !is_counted(&mut request, &one_more));
        assert!(!is_counted(&mut Extensions::new(), &budgets[0]), "another request");
    }
}
