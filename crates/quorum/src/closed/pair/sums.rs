//! The sums that there are of some weights.

/// Up to so many sums are looked at: with what each was reached by, some megabytes.
const MOST_SUMS: u64 = 1 << 21;
const BITS: usize = u64::BITS as usize;

/// Places of weights that are together at least so much and at most so much, if there are such;
/// nothing if there are too many sums to look at.
pub(super) fn between(
    weights: &[u64],
    least: u64,
    most: u64,
    work: &mut usize,
) -> Option<Option<Vec<usize>>> {
    if most >= MOST_SUMS {
        return None;
    }
    // Below the limit: it fits.
    let (least, most) = (usize::try_from(least).ok()?, usize::try_from(most).ok()?);
    let words = most / BITS + 1;
    *work = work.checked_sub(most + words * weights.len())?;
    let mut reached = vec![0_u64; words];
    reached[0] = 1;
    // Of each sum, the place of the weight by which it was reached first.
    let mut last = vec![u32::MAX; words * BITS];
    for (place, weight) in weights.iter().enumerate() {
        let Some(weight) = usize::try_from(*weight).ok().filter(|weight| *weight <= most) else {
            continue;
        };
        // From the highest down, so that what is reached now is not added to.
        for word in (weight / BITS..words).rev() {
            let new = shifted(&reached, word, weight) & !reached[word];
            reached[word] |= new;
            let mut new = new;
            while new > 0 {
                last[word * BITS + new.trailing_zeros() as usize] = place as u32;
                new &= new - 1;
            }
        }
    }
    let is_reached = |sum: &usize| reached[sum / BITS] >> (sum % BITS) & 1 == 1;
    let Some(mut sum) = (least..=most).find(is_reached) else { return Some(None) };
    let mut places = Vec::new();
    // Each sum was reached from a smaller one by a weight after those of the smaller one.
    while sum > 0 {
        let place = last[sum] as usize;
        places.push(place);
        sum -= weights[place] as usize;
    }
    Some(Some(places))
}

/// The word at this place, of the sums with so much more.
fn shifted(reached: &[u64], word: usize, weight: usize) -> u64 {
    let (words, bits) = (weight / BITS, weight % BITS);
    let high = reached[word - words] << bits;
    let low = (word - words).checked_sub(1).filter(|_| bits > 0);
    high | low.map_or(0, |low| reached[low] >> (BITS - bits))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_is_found_exactly_if_there_is_one(
            weights in prop::collection::vec(prop_oneof![Just(1), Just(63), Just(64), Just(65), 1..200_u64], 0..9),
            some in any::<u16>(),
            beside in 0..3_u64,
            width in 0..3_u64,
        ) {
            let chosen = weights.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1);
            let least = beside + chosen.map(|(_, weight)| weight).sum::<u64>();
            let add = |sums: BTreeSet<u64>, weight: &u64| {
                sums.iter().flat_map(|sum| [*sum, sum + weight]).collect()
            };
            let sums = weights.iter().fold(BTreeSet::from([0]), add);
            let most = least + width;
            let found = between(&weights, least, most, &mut { usize::MAX }).unwrap();
            prop_assert_eq!(found.is_some(), sums.range(least..=most).next().is_some());
            if let Some(places) = found {
                let distinct: BTreeSet<usize> = places.iter().copied().collect();
                prop_assert_eq!(distinct.len(), places.len());
                let sum: u64 = places.into_iter().map(|place| weights[place]).sum();
                prop_assert!(least <= sum && sum <= most);
            }
        }
    }

    #[test]
    fn too_many_sums_are_not_looked_at() {
        assert_eq!(between(&[5], 1, MOST_SUMS, &mut { usize::MAX }), None);
        assert_eq!(between(&[5], 1, 1000, &mut { 10 }), None);
        assert_eq!(between(&[5], 6, 1000, &mut { 10_000 }), Some(None));
        assert_eq!(between(&[5], 0, 0, &mut { 10_000 }), Some(Some(vec![])));
    }
}
