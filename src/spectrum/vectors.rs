//! Operations on vectors, to be inlined into what pulp compiles for an instruction set.

use pulp::Simd;

/// The number of accumulators of a sum, which is enough to hide the latency of an addition.
const SUMS: usize = 4;

/// xᵀy.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f64s(x), S::as_simd_f64s(y));
    let mut sums = [simd.splat_f64s(0.0); SUMS];
    let ((x, x_last), (y, y_last)) = (x.as_chunks::<SUMS>(), y.as_chunks::<SUMS>());
    for (x, y) in x.iter().zip(y) {
        for at in 0..SUMS {
            sums[at] = simd.mul_add_e_f64s(x[at], y[at], sums[at]);
        }
    }
    for ((&x, &y), sum) in x_last.iter().zip(y_last).zip(&mut sums) {
        *sum = simd.mul_add_e_f64s(x, y, *sum);
    }
    let [a, b, c, d] = sums;
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d))) + rest
}

/// y += a·x.
#[inline(always)]
pub fn add<S: Simd>(simd: S, a: f64, x: &[f64], y: &mut [f64]) {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f64s(x), S::as_mut_simd_f64s(y));
    let wide = simd.splat_f64s(a);
    for (y, &x) in y.iter_mut().zip(x) {
        *y = simd.mul_add_e_f64s(wide, x, *y);
    }
    for (y, x) in y_rest.iter_mut().zip(x_rest) {
        *y += a * x;
    }
}

/// z += a·x + b·y.
#[inline(always)]
pub fn add_two<S: Simd>(simd: S, a: f64, x: &[f64], b: f64, y: &[f64], z: &mut [f64]) {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f64s(x), S::as_simd_f64s(y));
    let (z, z_rest) = S::as_mut_simd_f64s(z);
    let (a_wide, b_wide) = (simd.splat_f64s(a), simd.splat_f64s(b));
    for ((z, &x), &y) in z.iter_mut().zip(x).zip(y) {
        *z = simd.mul_add_e_f64s(a_wide, x, simd.mul_add_e_f64s(b_wide, y, *z));
    }
    for ((z, x), y) in z_rest.iter_mut().zip(x_rest).zip(y_rest) {
        *z += a * x + b * y;
    }
}

/// y += a·x, then returns yᵀz, in one pass.
#[inline(always)]
pub fn add_and_dot<S: Simd>(simd: S, a: f64, x: &[f64], y: &mut [f64], z: &[f64]) -> f64 {
    let ((x, x_rest), (z, z_rest)) = (S::as_simd_f64s(x), S::as_simd_f64s(z));
    let (y, y_rest) = S::as_mut_simd_f64s(y);
    let wide = simd.splat_f64s(a);
    let mut sums = [simd.splat_f64s(0.0); SUMS];
    let ((x, x_last), (z, z_last)) = (x.as_chunks::<SUMS>(), z.as_chunks::<SUMS>());
    let (y, y_last) = y.as_chunks_mut::<SUMS>();
    for ((y, x), z) in y.iter_mut().zip(x).zip(z) {
        for at in 0..SUMS {
            y[at] = simd.mul_add_e_f64s(wide, x[at], y[at]);
            sums[at] = simd.mul_add_e_f64s(y[at], z[at], sums[at]);
        }
    }
    for (((y, &x), &z), sum) in y_last.iter_mut().zip(x_last).zip(z_last).zip(&mut sums) {
        *y = simd.mul_add_e_f64s(wide, x, *y);
        *sum = simd.mul_add_e_f64s(*y, z, *sum);
    }
    let mut rest = 0.0;
    for ((y, x), z) in y_rest.iter_mut().zip(x_rest).zip(z_rest) {
        *y += a * x;
        rest += *y * z;
    }
    let [a, b, c, d] = sums;
    simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d))) + rest
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, Scalar, WithSimd};

    use super::*;

    /// Every operation on vectors of a length: the products, and the vectors that were changed.
    struct All(usize);

    impl WithSimd for All {
        type Output = ([f64; 2], [Vec<f64>; 3]);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let [x, y, z] = vectors(self.0);
            let (mut added, mut two, mut dotted) = (y.clone(), z.clone(), y.clone());
            add(simd, 3.0, &x, &mut added);
            add_two(simd, 3.0, &x, -2.0, &y, &mut two);
            let onto = add_and_dot(simd, 3.0, &x, &mut dotted, &z);
            ([dot(simd, &x, &y), onto], [added, two, dotted])
        }
    }

    /// Vectors of whole numbers, of which sums are exact.
    fn vectors(length: usize) -> [Vec<f64>; 3] {
        [1, 2, 3].map(|seed| (0..length).map(|at| ((at * 29 + seed * 7) % 19) as f64 - 9.0).collect())
    }

    #[test]
    fn every_instruction_set_does_as_loops_do() {
        for length in 0..80 {
            let [x, y, z] = vectors(length);
            let added: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y + 3.0 * x).collect();
            let two = (0..length).map(|at| z[at] + 3.0 * x[at] - 2.0 * y[at]).collect();
            let dots = [x.iter().zip(&y).map(|(x, y)| x * y).sum(), added.iter().zip(&z).map(|(y, z)| y * z).sum()];
            let expected = (dots, [added.clone(), two, added]);
            assert_eq!(Arch::new().dispatch(All(length)), expected, "{length}");
            assert_eq!(All(length).with_simd(Scalar::new()), expected, "{length}");
        }
    }
}
