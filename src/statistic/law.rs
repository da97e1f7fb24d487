//! The law of Marchenko and Pastur (1967): how the singular values of pure noise are distributed.
//!
//! For a matrix of p x q independent entries of standard deviation 1, p <= q and beta = p/q, the singular values divided by
//! sqrt(q) lie between 1 - sqrt(beta) and 1 + sqrt(beta). With s = sqrt(beta), each of them is
//! x = sqrt(1 + beta + 2 s cos(theta)) for an angle theta between 0, at the upper edge, and pi, at the lower one. In theta the
//! density and the distribution have closed forms, which lose no digits near the edges.

use std::f64::consts::{FRAC_PI_2, PI};

/// Below this sqrt(beta) the distribution is summed as a series, because terms of the closed form cancel each other.
const SERIES_BELOW: f64 = 0.3;

/// So many terms of the series are enough there: 0.3^40 is less than half the unit roundoff.
const TERMS: i32 = 42;

/// Newton's method needs about six steps from the middle, and bisection would need 53.
const MOST_STEPS: usize = 64;

/// The distribution of the singular values of noise, divided by the square root of the long side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarchenkoPastur {
    beta: f64,
    /// sqrt(beta)
    root: f64,
}

impl MarchenkoPastur {
    /// The law for matrices of this `shape`, in either orientation.
    pub fn of([rows, columns]: [usize; 2]) -> Self {
        let beta = rows.min(columns) as f64 / rows.max(columns) as f64;
        Self { beta, root: beta.sqrt() }
    }

    /// The largest singular value of noise, 1 + sqrt(beta).
    pub fn upper_edge(&self) -> f64 {
        1.0 + self.root
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The singular value that the share `below` of all is below, 0 < `below` < 1.
    pub fn quantile(&self, below: f64) -> f64 {
        self.value_at(self.angle(below))
    }

    /// How many of all singular values, as a share, there are at `value` for each unit of length.
    pub fn density(&self, value: f64) -> f64 {
        let cosine = (value * value - 1.0 - self.beta) / (2.0 * self.root);
        if !(-1.0..=1.0).contains(&cosine) || value == 0.0 {
            return 0.0;
        }
        // dF/dx = dF/dtheta / (dx/dtheta), with dx/dtheta = -s sin(theta) / x.
        2.0 / PI * (1.0 - cosine * cosine).sqrt() / (self.root * value)
    }

    /// x(theta), as a sum of squares, so that nothing cancels near the lower edge.
    fn value_at(&self, angle: f64) -> f64 {
        let half = (angle / 2.0).cos();
        ((1.0 - self.root).powi(2) + 4.0 * self.root * half * half).sqrt()
    }

    /// The angle of a quantile: Newton's method, kept within a bracket that bisection narrows.
    fn angle(&self, below: f64) -> f64 {
        let (mut low, mut high) = (0.0, PI);
        let mut angle = FRAC_PI_2;
        for _ in 0..MOST_STEPS {
            let excess = self.below(angle) - below;
            // The share falls as the angle grows.
            if excess > 0.0 {
                low = angle
            } else {
                high = angle
            }
            let sine = angle.sin();
            let square = 1.0 + self.beta + 2.0 * self.root * angle.cos();
            let newton = angle + excess * PI / 2.0 * square / (sine * sine);
            let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
            if (next - angle).abs() <= f64::EPSILON * angle {
                return next;
            }
            angle = next;
        }
        angle
    }

    /// F(theta), the share of all singular values below x(theta).
    fn below(&self, angle: f64) -> f64 {
        let (s, sine) = (self.root, angle.sin());
        let above = if s < SERIES_BELOW {
            let term = |k: i32| (-s).powi(k - 2) * (f64::from(k) * angle).sin() / f64::from(k);
            angle - s * sine - (1.0 - self.beta) * (2..TERMS).map(term).sum::<f64>()
        } else {
            let turned = (s * sine).atan2(1.0 + s * angle.cos());
            angle - sine / s + (1.0 - self.beta) / self.beta * turned
        };
        1.0 - above / PI
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From mpmath with 40 digits: the shape, and the quantiles 1/4, 1/2 and 3/4.
    const QUANTILES: [([usize; 2], [f64; 3]); 6] = [
        ([768, 768], [0.395_287_906_311_319_05, 0.807_945_506_599_034_4, 1.269_409_187_952_385_9]),
        ([1, 2], [0.631_073_507_335_540_1, 0.911_299_007_780_302_4, 1.218_983_844_664_714]),
        ([4096, 14336], [0.739_422_059_214_068_2, 0.950_729_796_870_958_4, 1.177_748_262_767_149_2]),
        ([4096, 1024], [0.759_360_621_010_373_9, 0.957_081_015_738_277, 1.168_537_839_922_794]),
        ([1, 8], [0.838_585_157_540_331, 0.978_863_416_634_319_9, 1.125_981_541_419_558_6]),
        ([256, 4096], [0.889_920_045_107_265_1, 0.989_508_677_276_629_2, 1.092_507_815_922_187_3]),
    ];

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() <= 2e-14 * other
    }

    #[test]
    fn quantiles_are_those_of_the_law() {
        for (shape, expected) in QUANTILES {
            let law = MarchenkoPastur::of(shape);
            for (below, expected) in [0.25, 0.5, 0.75].into_iter().zip(expected) {
                let found = law.quantile(below);
                assert!(is_near(found, expected), "{shape:?} {below}: {found} {expected}");
            }
        }
    }

    #[test]
    fn medians_of_other_shapes() {
        let expected =
            [([1, 64], 0.994_789_245_183_39), ([9, 10], 0.689_222_098_354_09), ([4095, 4096], 0.652_865_610_913_54)];
        for (shape, expected) in expected {
            let median = MarchenkoPastur::of(shape).median();
            assert!((median * median - expected).abs() < 2e-14, "{shape:?}");
        }
        // Near 1 - beta/3 where the matrix is very narrow.
        let median = MarchenkoPastur::of([1, 151_936]).median();
        assert!((median * median - 1.0 + 1.0 / (3.0 * 151_936.0)).abs() < 1e-10);
    }

    #[test]
    fn the_density_adds_up_to_the_distribution() {
        for (shape, [low, _, high]) in QUANTILES {
            let law = MarchenkoPastur::of(shape);
            let steps = 20_000;
            let width = (high - low) / f64::from(steps);
            let middle = |step: i32| low + (f64::from(step) + 0.5) * width;
            let share: f64 = (0..steps).map(|step| law.density(middle(step)) * width).sum();
            assert!((share - 0.5).abs() < 1e-8, "{shape:?}: {share}");
            assert_eq!((law.density(law.upper_edge() + 1e-9), law.density(0.0)), (0.0, 0.0));
        }
    }
}
