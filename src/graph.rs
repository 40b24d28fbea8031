//! Things that wait for each other: an order in which each comes after those that it waits for, or a cycle.
//!
//! A thing is the number of its place in a list. The cost grows with the number of waits, also for one long chain.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Returns all things in an order in which each one is after those that it waits for, and otherwise the lowest number
/// first. `befores` has for each thing those that it waits for. Fails with a cycle: each thing waits for the next one, and
/// the last for the first, which has the lowest number.
pub fn order(befores: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); befores.len()];
    for (thing, before) in befores.iter().enumerate() {
        before.iter().for_each(|other| followers[*other].push(thing));
    }
    let order = peeled(befores, &followers);
    if order.len() == befores.len() {
        return Ok(order);
    }
    Err(cycle(befores, &followers, &order))
}

/// Returns the things that are reached by taking away, one after another, a thing that waits for none of the rest.
fn peeled(befores: &[Vec<usize>], followers: &[Vec<usize>]) -> Vec<usize> {
    let mut left: Vec<usize> = befores.iter().map(Vec::len).collect();
    let mut free: BinaryHeap<_> = (0..left.len()).filter(|thing| left[*thing] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(Reverse(thing)) = free.pop() {
        order.push(thing);
        for follower in &followers[thing] {
            left[*follower] -= 1;
            if left[*follower] == 0 {
                free.push(Reverse(*follower));
            }
        }
    }
    order
}

/// Returns a cycle among the things that are not in `order`.
fn cycle(befores: &[Vec<usize>], followers: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    // What remains when the same is done from the other side is on a cycle, or on a way from one to another.
    let mut remains = vec![true; befores.len()];
    order.iter().chain(&peeled(followers, befores)).for_each(|thing| remains[*thing] = false);
    let first = remains.iter().position(|remains| *remains).unwrap_or_default();
    let (mut walk, mut seen) = (vec![first], BTreeMap::from([(first, 0)]));
    while let Some(next) = walk.last().and_then(|last| befores[*last].iter().find(|next| remains[**next])) {
        if let Some(begin) = seen.insert(*next, walk.len()) {
            walk.drain(..begin);
            break;
        }
        walk.push(*next);
    }
    let lowest = (0..walk.len()).min_by_key(|place| walk[*place]).unwrap_or_default();
    walk.rotate_left(lowest);
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_comes_after_those_that_it_waits_for() {
        assert_eq!(order(&[vec![2, 1], vec![], vec![1], vec![0, 2]]), Ok(vec![1, 2, 0, 3]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_cycle_begins_with_its_lowest_and_has_nothing_that_only_leads_to_it_or_away() {
        // 0 waits for the cycle of 2, 3 and 4, and 4 for 5 too.
        let befores = [vec![3], vec![], vec![3], vec![4], vec![5, 2], vec![1]];
        assert_eq!(order(&befores), Err(vec![2, 3, 4]));
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
        // Between two cycles.
        assert_eq!(order(&[vec![1], vec![2, 1], vec![2]]), Err(vec![2]));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_is_ordered() {
        let chain: Vec<Vec<usize>> = (0..100_000).map(|nr| (nr > 0).then(|| nr - 1).into_iter().collect()).collect();
        assert_eq!(order(&chain).map(|order| order.len()), Ok(100_000));
        let round: Vec<Vec<usize>> = (0..100_000).map(|nr| vec![(nr + 1) % 100_000]).collect();
        assert_eq!(order(&round).map_err(|cycle| (cycle.len(), cycle[0])), Err((100_000, 0)));
    }
}
