//! Points at which functions are special.

use gradus::DType;

const INF: f64 = f64::INFINITY;

/// For functions of one number.
pub const LINE: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    -1.5,
    0.25,
    3.0,
    -3.0,
    6.0,
    7.25,
    -7.25,
    1e-320,
    -1e-320,
    1e-300,
    -1e-300,
    1e-160,
    1e-9,
    -1e-9,
    40.5,
    -40.5,
    1e9,
    -1e9,
    1e160,
    1e300,
    -1e300,
    709.7,
    -745.0,
    1000.0,
    INF,
    -INF,
    f64::NAN,
];

/// For each of two.
pub const PLANE: &[f64] =
    &[0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, 1e-320, 1e-300, 1e-100, 1e100, 1e300, INF, -INF, f64::NAN];

/// For vectors, as long as a function wants them.
pub const SPACE: &[&[f64]] = &[
    &[1.0, 2.0, -0.5, 0.75, -1.25, 3.0, 0.375, -2.0],
    &[0.0; 8],
    &[0.0, -0.0, 1.0, 2.0, 0.0, -1.0, 0.0, 3.0],
    &[1.0; 8],
    &[2.0, 2.0, 1.0, -1.0, 2.0, -1.0, 0.0, 1.0],
    &[3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    &[0.0, 40.5, 0.0, -40.5, 1.0, 0.0, 2.0, 1.0],
    &[1000.0, 0.0, -1000.0, 1.0, 0.5, 2.0, 1000.0, 3.0],
    &[1e300, -1e300, 1e299, 3e299, 1e298, 1e300, 2e299, 1e300],
    &[1e-300, -1e-300, 1e-301, 3e-301, 1e-302, 1e-300, 2e-300, 0.0],
    &[1e160, 1.0, 1e-160, -1e160, 1.0, 2.0, 0.0, 1e-160],
    &[INF, 0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 0.25],
    &[-INF, 0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 0.25],
    &[-INF; 8],
    &[INF, INF, 1.0, -INF, 0.0, 1.0, 2.0, 3.0],
    &[f64::NAN, 0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 0.25],
];

/// The number as single precision has it: as far in its range.
pub fn in_range(x: f64, dtype: DType) -> f64 {
    let size = x.abs();
    if dtype == DType::F64 || !size.is_finite() || size == 0.0 || (1e-9..=1e9).contains(&size) {
        return x;
    }
    if size < 1e-310 {
        return x.signum() * 1e-44;
    }
    x.signum() * 10f64.powf(size.log10() * 37.0 / 300.0)
}
