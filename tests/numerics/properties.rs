//! What holds for the singular values and the statistic of every matrix, on every device.

use laser_scan::spectrum::{Lane, Method, singular_values};
use laser_scan::statistic::Statistic;
use proptest::prelude::*;

use crate::lanes::{lanes, matrix};

/// A matrix with up to 40 rows and columns, of single-precision numbers, as weights are.
#[derive(Clone, Debug)]
struct Matrix {
    rows: usize,
    columns: usize,
    elements: Vec<f64>,
}

impl Matrix {
    fn new(rows: usize, columns: usize, element: impl Fn(usize, usize) -> f64) -> Self {
        let elements = (0..rows * columns).map(|at| element(at / columns, at % columns)).collect();
        Self { rows, columns, elements }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.elements[row * self.columns + column]
    }

    fn values(&self, (lane, method): Route) -> Vec<f64> {
        let matrix = matrix(&self.elements, [self.rows, self.columns]);
        singular_values(matrix, method, lane).expect("singular values").values
    }

    fn squared_norm(&self) -> f64 {
        self.elements.iter().map(|element| element * element).sum()
    }
}

fn matrices() -> impl Strategy<Value = Matrix> {
    (2..40usize, 2..40usize).prop_flat_map(|(rows, columns)| {
        prop::collection::vec(-1f32..1f32, rows * columns).prop_map(move |elements| {
            let elements = elements.into_iter().map(f64::from).collect();
            Matrix { rows, columns, elements }
        })
    })
}

/// A way to singular values.
type Route = (&'static Lane, Method);

fn routes() -> Vec<Route> {
    lanes().iter().flat_map(|lane| [Method::Gram, Method::Direct].map(|method| (lane, method))).collect()
}

/// Whether two spectra agree to within the accuracy of the weaker route.
fn agree(a: &[f64], b: &[f64]) -> bool {
    // Errors of a few units of roundoff in the square of the largest.
    let tolerance = 1e-13 * a[0] * a[0];
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a * a - b * b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn squares_add_up_to_the_squared_norm(matrix in matrices()) {
        for route in routes() {
            let sum: f64 = matrix.values(route).iter().map(|value| value * value).sum();
            prop_assert!((sum - matrix.squared_norm()).abs() <= 1e-13 * sum);
        }
    }

    #[test]
    fn values_are_positive_and_sorted(matrix in matrices()) {
        for route in routes() {
            let values = matrix.values(route);
            prop_assert_eq!(values.len(), matrix.rows.min(matrix.columns));
            prop_assert!(values.is_sorted_by(|a, b| a >= b) && values[values.len() - 1] >= 0.0);
        }
    }

    #[test]
    fn all_routes_agree(matrix in matrices()) {
        let first = matrix.values(routes()[0]);
        for route in &routes()[1..] {
            prop_assert!(agree(&first, &matrix.values(*route)));
        }
    }

    #[test]
    fn transposition_changes_nothing(matrix in matrices()) {
        let transposed = Matrix::new(matrix.columns, matrix.rows, |i, j| matrix.at(j, i));
        for route in routes() {
            prop_assert!(agree(&matrix.values(route), &transposed.values(route)));
        }
    }

    #[test]
    fn permutation_changes_nothing(matrix in matrices(), row in 1..40usize, column in 1..40usize) {
        let rotated = Matrix::new(matrix.rows, matrix.columns, |i, j| {
            matrix.at((i + row) % matrix.rows, matrix.columns - 1 - (j + column) % matrix.columns)
        });
        for route in routes() {
            prop_assert!(agree(&matrix.values(route), &rotated.values(route)));
        }
    }

    #[test]
    fn the_ratio_falls_as_the_weights_grow(matrix in matrices(), factor in 0.01..100f64) {
        let scaled = Matrix::new(matrix.rows, matrix.columns, |i, j| factor * matrix.at(i, j));
        for route in routes().into_iter().filter(|(_, method)| *method == Method::Direct) {
            let statistic = |matrix: &Matrix| Statistic::new(&matrix.values(route), [matrix.rows, matrix.columns]);
            let (plain, scaled) = (statistic(&matrix), statistic(&scaled));
            // A value at the threshold may fall on either side by rounding; then there is nothing to compare.
            prop_assume!(plain.signal_count == scaled.signal_count && plain.noise_count > 0);
            if plain.signal_count == 0 {
                prop_assert_eq!((plain.snr(), scaled.snr()), (0.0, 0.0));
                continue;
            }
            let relative = scaled.snr() * factor / plain.snr() - 1.0;
            prop_assert!(relative.abs() < 1e-9 || plain.noise < 1e-6 * plain.sigma_max, "{relative:e}");
        }
    }

    #[test]
    fn a_planted_spectrum_is_found(
        size in 2..24usize,
        extra in 0..20usize,
        planted in prop::collection::vec(0.01..10f64, 24),
        directions in prop::collection::vec(-1f64..1f64, 2 * 44),
    ) {
        // Two reflections, I - 2vvᵀ/vᵀv, around a diagonal matrix: its entries are the singular values.
        let (rows, columns) = (size + extra, size);
        let reflect = |vector: &[f64], i: usize, j: usize| {
            let squared: f64 = vector.iter().map(|x| x * x).sum();
            f64::from(u8::from(i == j)) - 2.0 * vector[i] * vector[j] / squared
        };
        let (left, right) = (&directions[..rows], &directions[44..44 + columns]);
        prop_assume!(left.iter().chain(right).all(|x| x.abs() > 1e-3));
        let matrix = Matrix::new(rows, columns, |i, j| {
            (0..size).map(|k| reflect(left, i, k) * planted[k] * reflect(right, k, j)).sum()
        });
        let mut expected = planted[..size].to_vec();
        expected.sort_by(|a, b| b.total_cmp(a));
        for route in routes() {
            prop_assert!(agree(&matrix.values(route), &expected));
        }
    }
}
