//! The numbers that a run goes through: so many of them, one after the other.

use anyhow::ensure;

/// `count` numbers, of which `first` is the first.
///
/// # Errors
/// If there are not so many.
pub fn numbers(first: u64, count: u64) -> anyhow::Result<impl Iterator<Item = u64>> {
    let last = u64::MAX;
    ensure!(
        count == 0 || first <= last - (count - 1),
        "there are no {count} numbers from {first} on: the last of all is {last}"
    );
    Ok((first..=last).take(usize::try_from(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_all_numbers_is_one_and_none_comes_after_it() {
        let some = |first, count| numbers(first, count).map(Iterator::collect::<Vec<u64>>).ok();
        assert_eq!(some(3, 2), Some(vec![3, 4]));
        assert_eq!(some(u64::MAX - 1, 2), Some(vec![u64::MAX - 1, u64::MAX]));
        assert_eq!(some(u64::MAX, 0), Some(Vec::new()));
        assert_eq!(some(u64::MAX, 2), None);
        assert_eq!(some(2, u64::MAX), None);
    }
}
