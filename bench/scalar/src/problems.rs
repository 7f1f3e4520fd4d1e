//! The functions, once for each crate's number trait: the text is one, the trait bound and the constant differ.

/// The number of steps of the two loops: eight and four operations each, 100,000 together.
pub const TRANSCENDENTAL_STEPS: usize = 12_500;
pub const MULTIPLY_ADD_STEPS: usize = 25_000;
/// The side of the square grid of the stencil.
pub const SIDE: usize = 100;

macro_rules! problems {
    ($module:ident, $number:ident: [$($bound:tt)*], |$value:ident| $lit:expr) => {
        // Not every crate's number trait has the assigning operators.
        #[allow(clippy::assign_op_pattern)]
        pub mod $module {
            use $crate::problems::{MULTIPLY_ADD_STEPS, SIDE, TRANSCENDENTAL_STEPS};

            #[inline(always)]
            fn lit<$number: $($bound)*>($value: f64) -> $number {
                $lit
            }

            #[inline]
            pub fn rosenbrock<$number: $($bound)*>(x: &[$number]) -> $number {
                let mut sum = lit::<$number>(0.0);
                for i in 0..x.len() - 1 {
                    let a = lit::<$number>(1.0) - x[i].clone();
                    let b = x[i + 1].clone() - x[i].clone() * x[i].clone();
                    sum = sum + a.clone() * a + lit::<$number>(100.0) * b.clone() * b;
                }
                sum
            }

            /// The energy of two ions: Lennard-Jones and a screened Coulomb potential, of two points in space.
            #[inline]
            pub fn energy<$number: $($bound)*>(x: &[$number]) -> $number {
                let dx = x[0].clone() - x[3].clone();
                let dy = x[1].clone() - x[4].clone();
                let dz = x[2].clone() - x[5].clone();
                let r2 = dx.clone() * dx + dy.clone() * dy + dz.clone() * dz;
                let r = r2.clone().sqrt();
                let inverse = lit::<$number>(1.0) / r2;
                let s6 = inverse.clone() * inverse.clone() * inverse;
                let lennard_jones = lit::<$number>(4.0 * 0.65) * (s6.clone() * s6.clone() - s6);
                let screened = lit::<$number>(1.7) * (-r.clone() * lit::<$number>(0.4)).exp() / r;
                lennard_jones + screened
            }

            #[inline]
            pub fn transcendental<$number: $($bound)*>(x: &[$number]) -> $number {
                let mut s = x[0].clone();
                for i in 0..TRANSCENDENTAL_STEPS {
                    let (a, b) = (x[i % 4].clone(), x[(i + 1) % 4].clone());
                    s = (s.clone() + a).sin().exp().ln() * b.cos() + (s * lit::<$number>(0.5)).cos();
                }
                s
            }

            #[inline]
            pub fn multiply_add<$number: $($bound)*>(x: &[$number]) -> $number {
                let mut s = x[0].clone();
                for i in 0..MULTIPLY_ADD_STEPS {
                    let (a, b) = (x[i % 4].clone(), x[(i + 1) % 4].clone());
                    s = s * a.clone() + b * a.clone() - a;
                }
                s
            }

            /// Bratu's equation on a square grid with zero boundary: `u_e + u_w + u_n + u_s - 4 u + λ e^u`.
            #[allow(dead_code)]
            pub fn stencil<$number: $($bound)*>(u: &[$number], out: &mut [$number]) {
                let at = |i: usize, j: usize| u[SIDE * i + j].clone();
                for i in 0..SIDE {
                    for j in 0..SIDE {
                        let here = at(i, j);
                        let mut sum = here.clone().exp() * lit::<$number>(0.01) - here * lit::<$number>(4.0);
                        if i > 0 {
                            sum = sum + at(i - 1, j);
                        }
                        if i + 1 < SIDE {
                            sum = sum + at(i + 1, j);
                        }
                        if j > 0 {
                            sum = sum + at(i, j - 1);
                        }
                        if j + 1 < SIDE {
                            sum = sum + at(i, j + 1);
                        }
                        out[SIDE * i + j] = sum;
                    }
                }
            }
        }
    };
}

problems!(gradus, R: [gradus_num::Real], |v| R::from_f64(v));
problems!(numdual, D: [num_dual::DualNum<Primitive = f64>], |v| D::from(v));
problems!(echidna, T: [::echidna::Scalar<Float = f64>], |v| T::from_f(v));
problems!(adtrait, A: [ad_trait::AD], |v| A::constant(v));
