//! The figures that sum up several values: their number, minimum, maximum, mean, median and sum.

/// What values are summed up to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The number of the values.
    pub count: usize,
    /// The lowest value.
    pub min: f64,
    /// The highest value.
    pub max: f64,
    /// The sum divided by the number.
    pub mean: f64,
    /// The value in the middle of all in their order, or the mean of the two in the middle.
    pub median: f64,
    /// The sum of all values.
    pub sum: f64,
}

impl Figures {
    /// Sums up values. Returns `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Figures> {
        let mut values: Vec<f64> = values.into_iter().collect();
        let (min, max) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (value.min(min), value.max(max)));
        let (sum, count) = (values.iter().sum::<f64>(), values.len());
        if count == 0 {
            return None;
        }
        // A selection takes a time that grows with the number of the values, and a sort would take more.
        let (below, high, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
        let low = if count.is_multiple_of(2) { below.iter().copied().fold(min, f64::max) } else { *high };
        let median = if low == *high { low } else { low / 2.0 + *high / 2.0 };
        Some(Figures { count, min, max, mean: sum / count as f64, median, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_count() {
        let figures = Figures::of([3.0, 1.0, 2.0, 2.0, 12.0]).expect("there are values");
        let wanted = Figures { count: 5, min: 1.0, max: 12.0, mean: 4.0, median: 2.0, sum: 20.0 };
        assert_eq!(figures, wanted);
        assert_eq!(Figures::of([4.0, 1.0]).map(|figures| figures.median), Some(2.5));
        assert_eq!(Figures::of([]), None);
    }
}
