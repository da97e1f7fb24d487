//! The error bounds of both routes hold, with room to spare, on matrices of many kinds.
//!
//! Exact singular values are known for few matrices, so the routes are held against each other: the CPU's direct route is the
//! reference for the Gram route, whose error is larger wherever it matters, and constructed spectra for the direct route. Each
//! test runs on the CPU and, where there is one, on a GPU.

use laser_scan::spectrum::{Lane, Method, Processor, Spectrum, singular_values};
use laser_scan::statistic::{self, Statistic};

use crate::lanes::{lanes, matrix};

/// The SplitMix64 generator (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal: the sum of four uniform numbers, less its mean.
    fn normal(&mut self) -> f64 {
        (0..4).map(|_| (self.bits() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).sum()
    }
}

/// A kind of matrix: its name, and the element at (row, column) of a matrix of the shape given before, from a random
/// number.
type Kind = (&'static str, fn(usize, usize, [usize; 2], f64) -> f64);

const KINDS: [Kind; 9] = [
    ("normal", |_, _, _, x| x),
    ("one spike", |i, j, _, x| x + 3.0 * (i as f64 * 0.37).sin() * (j as f64 * 0.11).cos()),
    ("rows over four decades", |i, _, [rows, _], x| x * 10f64.powf(-4.0 * i as f64 / rows as f64)),
    ("columns over three decades", |_, j, [_, columns], x| x * 10f64.powf(-3.0 * j as f64 / columns as f64)),
    ("signs in a pattern", |i, j, _, _| if (i * 31 + j * 17) % 7 < 3 { 1.0 } else { -1.0 }),
    ("nearly constant", |i, j, _, _| if i + j == 0 { 0.2 } else { 0.1 }),
    ("positive", |_, _, _, x| x.abs()),
    ("Hilbert", |i, j, _, _| 1.0 / (i + j + 1) as f64),
    ("heavy tails", |_, _, _, x| x * x * x / (1.01 - x.abs().min(1.0))),
];

/// Shapes on both sides of a tile's and a band's width, and one that is worked on in strips.
const SHAPES: [[usize; 2]; 14] = [
    [2, 2],
    [3, 5],
    [8, 8],
    [47, 90],
    [64, 64],
    [97, 97],
    [64, 256],
    [145, 700],
    [300, 70],
    [2, 20_000],
    [16, 30_000],
    [256, 1024],
    [512, 512],
    [800, 830],
];

fn spectrum(elements: &[f64], shape: [usize; 2], method: Method, lane: &Lane) -> Spectrum {
    singular_values(matrix(elements, shape), method, lane).expect("singular values")
}

/// Every way to singular values.
fn routes() -> impl Iterator<Item = (&'static Lane, Method)> {
    lanes().iter().flat_map(|lane| [Method::Gram, Method::Direct].map(|method| (lane, method)))
}

/// Every kind of matrix in every shape, with its name, rounded to single precision as weights are: products of its elements
/// are then exact.
fn matrices() -> impl Iterator<Item = (&'static str, [usize; 2], Vec<f64>)> {
    let mut random = Random(1);
    let cases = SHAPES.into_iter().flat_map(|shape| KINDS.map(|kind| (shape, kind)));
    cases.map(move |(shape, (name, element))| {
        let [rows, columns] = shape;
        let places = (0..rows * columns).map(|at| (at / columns, at % columns));
        let elements = places.map(|(i, j)| f64::from(element(i, j, shape, random.normal()) as f32));
        (name, shape, elements.collect())
    })
}

#[test]
fn the_gram_route_stays_within_half_of_its_bound() {
    for (name, shape, elements) in matrices() {
        let direct = spectrum(&elements, shape, Method::Direct, &Lane::CPU);
        for lane in lanes() {
            let gram = spectrum(&elements, shape, Method::Gram, lane);
            let (lower, upper) = gram.enclosure();
            let (lower_direct, upper_direct) = direct.enclosure();
            for i in 0..direct.values.len() {
                assert!(
                    lower[i] <= upper_direct[i] && lower_direct[i] <= upper[i],
                    "{name} {shape:?}: value {i} lies outside"
                );
            }
            let largest = direct.values[0];
            let off = gram.values.iter().zip(&direct.values).map(|(a, b)| (a * a - b * b).abs());
            for (i, off) in off.enumerate() {
                let room = upper[i] * upper[i] - gram.values[i] * gram.values[i];
                assert!(off <= room / 2.0, "{name} {shape:?}: value {i} is off by {:e}σ₁²", off / largest / largest);
            }
        }
    }
}

#[test]
fn what_is_vouched_for_agrees_on_every_device_and_route() {
    for (name, shape, elements) in matrices() {
        let mut first: Option<f64> = None;
        for (lane, method) in routes() {
            let spectrum = spectrum(&elements, shape, method, lane);
            let statistic = Statistic::new(&spectrum.values, shape);
            let (lower, upper) = spectrum.enclosure();
            if statistic::vouch(&statistic, &lower, &upper, shape).is_ok() {
                let ratio = statistic.snr();
                let first = *first.get_or_insert(ratio);
                let agrees = ratio == first || (ratio / first - 1.0).abs() <= 1e-9;
                assert!(agrees, "{name} {shape:?} on {:?} by {method:?}: {ratio} for {first}", lane.processor());
            }
        }
    }
}

#[test]
fn the_direct_route_finds_constructed_spectra() {
    lanes().iter().for_each(finds_constructed_spectra);
}

fn finds_constructed_spectra(lane: &Lane) {
    // A diagonal between two Hadamard matrices: orthogonal to the last bit but for their scale.
    for n in [16, 64, 256] {
        let sign = |k: usize, at: usize| if (k & at).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        for decades in [1, 6, 12] {
            // Powers of two, so that the sums are exact as long as they fit.
            let planted: Vec<f64> = (0..n).map(|k| 0.5f64.powi((decades * 10 / 3 * k / n) as i32)).collect();
            let elements: Vec<f64> = (0..n * n)
                .map(|at| (0..n).map(|k| planted[k] * sign(k, at / n) * sign(k, at % n)).sum::<f64>() / n as f64)
                .collect();
            let direct = spectrum(&elements, [n, n], Method::Direct, lane);
            let (_, upper) = direct.enclosure();
            for (i, (value, exact)) in direct.values.iter().zip(&planted).enumerate() {
                let room = upper[i] - value;
                assert!((value - exact).abs() <= room / 2.0, "n = {n}, {decades} decades: {value:e} for {exact:e}");
            }
        }
    }
}

#[test]
fn scaling_by_a_power_of_two_scales_the_values() {
    let mut random = Random(2);
    let elements: Vec<f64> = (0..40 * 90).map(|_| random.normal()).collect();
    for (lane, method) in routes() {
        let plain = spectrum(&elements, [40, 90], method, lane).values;
        for exponent in [-400, -3, 5, 400] {
            let scale = 2f64.powi(exponent);
            let scaled: Vec<f64> = elements.iter().map(|element| element * scale).collect();
            let expected: Vec<f64> = plain.iter().map(|value| value * scale).collect();
            let values = spectrum(&scaled, [40, 90], method, lane).values;
            // A GPU's libraries may add in another order each time.
            let room = if lane.processor() == Processor::Cpu { 0.0 } else { 1e-13 * expected[0] };
            let is_near = |(value, expected): (&f64, &f64)| (value - expected).abs() <= room;
            assert!(values.len() == 40 && values.iter().zip(&expected).all(is_near), "2^{exponent}: {values:?}");
        }
    }
}
