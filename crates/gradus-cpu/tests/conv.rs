//! Convolutions of many shapes against the definition, and bit for bit the same on any number of threads.

use gradus_cpu::Pool;
use gradus_cpu::conv::{Conv, ConvError, reference};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn numbers(&mut self, len: usize) -> Vec<f64> {
        (0..len).map(|_| self.next() as f64 / (1u64 << 30) as f64 - 1.0).collect()
    }
}

/// Runs a convolution on all pools and compares with the definition.
fn check(conv: Conv, lengths: [usize; 3], pools: &[Pool], random: &mut Random) {
    let (x, kernel) = (random.numbers(lengths[0]), random.numbers(lengths[1]));
    let mut want = vec![7.0; lengths[2]];
    reference(&conv, &x, &kernel, &mut want);
    let mut first: Option<Vec<f64>> = None;
    for pool in pools {
        let mut got = vec![7.0; lengths[2]];
        conv.run(pool, &x, &kernel, &mut got).expect("the operands fit");
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= 1e-12 * (1.0 + want.abs()), "{conv:?} at {i}: {got}, not {want}");
        }
        match &first {
            None => first = Some(got),
            Some(first) => assert!(first == &got, "{conv:?} on {} threads", pool.threads()),
        }
    }
}

fn lengths(conv: &Conv, x: [usize; 2], k: [usize; 2], input: &[usize], kernel: &[usize]) -> [usize; 3] {
    let size = |s: &[usize]| s.iter().product::<usize>();
    let out = conv.result_batch() * k[0] * size(&conv.output());
    [x[0] * x[1] * size(input), k[0] * k[1] * size(kernel), out]
}

#[test]
fn random_shapes() {
    let pools: Vec<Pool> = [1, 2, 3].map(Pool::new).into();
    let mut random = Random(3);
    let mut done = 0;
    while done < 400 {
        let rank = 1 + random.below(3);
        let pick = |random: &mut Random, low: usize, n: usize| -> Vec<usize> {
            (0..rank).map(|_| low + random.below(n)).collect()
        };
        let most = [40, 12, 6][rank - 1];
        let (input, kernel) = (pick(&mut random, 1, most), pick(&mut random, 1, most.min(9)));
        let (stride, lhs, rhs) = (pick(&mut random, 1, 3), pick(&mut random, 1, 3), pick(&mut random, 1, 3));
        let pad =
            |random: &mut Random| -> Vec<isize> { (0..rank).map(|_| random.below(6) as isize - 2).collect() };
        let (low, high) = (pad(&mut random), pad(&mut random));
        let groups = 1 + random.below(3);
        let by_batch = random.below(4) == 0;
        let (batch, channels) = (1 + random.below(4), 1 + random.below(5));
        let outputs = groups * (1 + random.below(9));
        let (batch, channels, per_group) = if by_batch {
            (batch * groups, channels, channels)
        } else {
            (batch, channels * groups, channels)
        };
        let conv = Conv::new(batch, channels, outputs, &input, &kernel)
            .and_then(|c| c.stride(&stride))
            .and_then(|c| c.padding(&low, &high))
            .and_then(|c| c.dilation(&lhs, &rhs))
            .and_then(|c| if by_batch { c.groups(1, groups) } else { c.groups(groups, 1) })
            .expect("the parameters are valid");
        if conv.output().contains(&0) {
            continue;
        }
        let lengths = lengths(&conv, [batch, channels], [outputs, per_group], &input, &kernel);
        check(conv, lengths, &pools, &mut random);
        done += 1;
    }
}

#[test]
fn shapes_of_networks() {
    let pools: Vec<Pool> = [1, 2, 4].map(Pool::new).into();
    let mut random = Random(5);
    // batch, channels, outputs, extent, kernel, stride, padding, groups
    let cases = [
        (4, 1, 32, 28, 5, 1, 2, 1),
        (3, 32, 64, 14, 5, 1, 2, 1),
        (2, 64, 64, 16, 3, 1, 1, 1),
        (2, 64, 128, 16, 3, 2, 1, 1),
        (5, 128, 96, 4, 3, 1, 1, 1),
        (2, 64, 128, 16, 1, 2, 0, 1),
        (2, 48, 40, 9, 1, 1, 0, 1),
        (2, 32, 32, 16, 3, 1, 1, 32),
        (2, 32, 64, 15, 3, 2, 1, 32),
        (2, 32, 64, 15, 5, 1, 2, 4),
    ];
    for (n, c, o, extent, k, stride, pad, groups) in cases {
        let padding = [pad as isize; 2];
        let conv = Conv::new(n, c, o, &[extent; 2], &[k; 2])
            .and_then(|conv| conv.stride(&[stride; 2]))
            .and_then(|conv| conv.padding(&padding, &padding))
            .and_then(|conv| conv.groups(groups, 1))
            .expect("the parameters are valid");
        let lengths_of = lengths(&conv, [n, c], [o, c / groups], &[extent; 2], &[k; 2]);
        check(conv, lengths_of, &pools, &mut random);

        // The input gradient: the cotangent dilated by the stride, the kernel with its channel axes exchanged (its
        // taps would be flipped too; which taps meet is all the same to the check).
        if groups == 1 {
            let out = conv.output()[1];
            let low = (k - 1 - pad) as isize;
            let high = (extent + k - 1 - ((out - 1) * stride + 1)) as isize - low;
            let taps = k * k;
            let gradient = Conv::new(n, o, c, &[out; 2], &[k; 2])
                .and_then(|conv| conv.padding(&[low; 2], &[high; 2]))
                .and_then(|conv| conv.dilation(&[stride; 2], &[1, 1]))
                .expect("the parameters are valid")
                .strides(
                    [o * out * out, out * out],
                    [taps, c * taps],
                    [c * extent * extent, extent * extent],
                );
            assert_eq!(gradient.output()[1..], [extent; 2]);
            check(gradient, [n * o * out * out, o * c * taps, n * c * extent * extent], &pools, &mut random);

            // The weight gradient: batch and channels exchanged, the cotangent as kernel.
            let high = ((k - 1) + (out - 1) * stride + 1) as isize - extent as isize - pad as isize;
            let gradient = Conv::new(c, n, o, &[extent; 2], &[out; 2])
                .and_then(|conv| conv.padding(&[pad as isize; 2], &[high; 2]))
                .and_then(|conv| conv.dilation(&[1, 1], &[stride; 2]))
                .expect("the parameters are valid")
                .strides(
                    [extent * extent, c * extent * extent],
                    [out * out, o * out * out],
                    [taps, c * taps],
                );
            assert_eq!(gradient.output()[1..], [k; 2]);
            check(gradient, [n * c * extent * extent, n * o * out * out, o * c * taps], &pools, &mut random);
        }
    }
}

/// Every axis exchanged and every kernel reversed, as the gradients of convolutions read them: nothing is copied.
#[test]
fn operands_lie_at_any_strides() {
    let pools: Vec<Pool> = [1, 2, 4].map(Pool::new).into();
    let mut random = Random(17);
    // batch, channels, outputs, extents, kernel, stride, low, high, dilation, groups
    type Case =
        (usize, usize, usize, [usize; 2], [usize; 2], [usize; 2], [isize; 2], [isize; 2], [usize; 2], usize);
    let cases: [Case; 14] = [
        (3, 4, 8, [9, 7], [3, 3], [1, 1], [1, 1], [1, 1], [1, 1], 1),
        (3, 4, 8, [9, 7], [3, 2], [2, 1], [0, 1], [1, 0], [1, 2], 2),
        (5, 6, 40, [8, 8], [1, 1], [2, 2], [0, 0], [0, 0], [1, 1], 1),
        (5, 6, 40, [8, 8], [1, 1], [2, 2], [-1, 0], [0, -2], [1, 1], 1),
        (33, 70, 40, [4, 4], [1, 1], [1, 1], [0, 0], [0, 0], [1, 1], 1),
        (2, 70, 40, [16, 16], [1, 1], [1, 1], [0, 0], [0, 0], [1, 1], 1),
        // Weight gradients: of one tap, of one tap with a step, of a stem, and grouped.
        (40, 5, 70, [6, 6], [6, 6], [1, 1], [0, 0], [0, 0], [1, 1], 1),
        (40, 70, 33, [9, 9], [5, 5], [1, 1], [0, 0], [0, 0], [2, 2], 1),
        (1, 9, 32, [12, 12], [12, 12], [1, 1], [2, 2], [2, 2], [1, 1], 1),
        (3, 64, 70, [8, 8], [8, 8], [1, 1], [1, 1], [1, 1], [1, 1], 1),
        (2, 12, 24, [7, 7], [7, 7], [1, 1], [0, 0], [0, 0], [1, 1], 4),
        (2, 6, 6, [10, 11], [3, 3], [1, 1], [1, 1], [1, 1], [1, 1], 6),
        (2, 6, 6, [10, 11], [3, 3], [2, 2], [1, 1], [1, 1], [1, 1], 6),
        (7, 40, 3, [5, 5], [5, 5], [1, 1], [1, 1], [1, 1], [1, 1], 1),
    ];
    for (n, c, o, extent, k, stride, low, high, dilation, groups) in cases {
        for lhs in [1, 2] {
            let conv = Conv::new(n, c, o, &extent, &k)
                .and_then(|conv| conv.stride(&stride))
                .and_then(|conv| conv.padding(&low, &high))
                .and_then(|conv| conv.dilation(&[lhs; 2], &dilation))
                .and_then(|conv| conv.groups(groups, 1))
                .expect("the parameters are valid");
            let [plane, taps] = [extent, k].map(|e| e[0] * e[1]);
            let places: usize = conv.output().iter().product();
            let [wide, high] = [k[1] as isize, k[0] as isize];
            let kernel = (taps, [taps, o * taps], [-wide, -1]);
            let tall = (taps, [taps, o * taps], [1, high]);
            for (width, k_strides, steps) in [kernel, tall] {
                let first = if steps[1] < 0 { width - 1 } else { 0 };
                let conv = conv
                    .strides([plane, n * plane], k_strides, [places, n * places])
                    .taps_at(first, &steps)
                    .expect("two axes");
                let lengths = [n * c * plane, o * c / groups * taps, n * o * places];
                check(conv, lengths, &pools, &mut random);
            }
        }
    }
}

#[test]
fn parameters_are_checked() {
    assert_eq!(Conv::new(1, 1, 1, &[3], &[3, 3]), Err(ConvError::Rank(2)));
    assert_eq!(Conv::new(1, 1, 1, &[3; 4], &[3; 4]), Err(ConvError::Rank(4)));
    let conv = Conv::new(1, 4, 6, &[5, 5], &[3, 3]).expect("valid");
    assert_eq!(conv.stride(&[0, 1]), Err(ConvError::Zero("a stride")));
    assert!(matches!(conv.groups(3, 1), Err(ConvError::Groups { what: "channels", count: 4, groups: 3 })));
    assert_eq!(conv.groups(2, 2), Err(ConvError::BothGroups));
    let pool = Pool::serial();
    let (x, kernel) = (vec![0f32; 100], vec![0f32; 6 * 4 * 9]);
    let mut out = vec![0f32; 6 * 9];
    assert!(conv.run(&pool, &x, &kernel, &mut out).is_ok());
    let error = conv.run(&pool, &x[1..], &kernel, &mut out).expect_err("the input is short");
    assert_eq!(error.to_string(), "the input needs 100 elements, but its slice has 99");
    assert!(conv.run(&pool, &x, &kernel[1..], &mut out).is_err());
    assert!(conv.run(&pool, &x, &kernel, &mut out[1..]).is_err());
    let cut = conv.padding(&[-2, 0], &[-1, 0]).expect("valid");
    assert!(matches!(
        cut.run(&pool, &x, &kernel, &mut out),
        Err(ConvError::Window { axis: 1, window: 3, padded: 2 })
    ));
    // The last tap lies before the slice.
    let backwards = conv.taps_at(7, &[-3, -1]).expect("two axes");
    assert!(backwards.run(&pool, &x, &kernel, &mut out).is_err());
    let backwards = conv.taps_at(8, &[-3, -1]).expect("two axes");
    assert!(backwards.run(&pool, &x, &kernel, &mut out).is_ok());
    let overlapping = conv.strides([100, 25], [36, 9], [54, 4]);
    assert_eq!(overlapping.run(&pool, &x, &kernel, &mut out), Err(ConvError::Overlap));
}

/// Distance from the definition, in the root mean square and at most, relative to the root of the sum of squared terms that
/// a result has.
fn errors(conv: &Conv, x: &[f32], kernel: &[f32], got: &[f32]) -> [f64; 2] {
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let squares = |v: &[f32]| v.iter().map(|&v| f64::from(v) * f64::from(v)).collect::<Vec<f64>>();
    let (mut want, mut scale) = (vec![0.0; got.len()], vec![0.0; got.len()]);
    reference(conv, &wide(x), &wide(kernel), &mut want);
    reference(conv, &squares(x), &squares(kernel), &mut scale);
    let distance = |((got, want), scale): ((&f32, &f64), &f64)| {
        (f64::from(*got) - want).abs() / (scale.sqrt() + f64::from(f32::MIN_POSITIVE))
    };
    let all: Vec<f64> = got.iter().zip(&want).zip(&scale).map(distance).collect();
    let mean = all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64;
    [mean.sqrt(), all.into_iter().fold(0.0, f64::max)]
}

fn single(random: &mut Random, len: usize) -> Vec<f32> {
    random.numbers(len).into_iter().map(|v| v as f32).collect()
}

/// Forward and the kernel's gradient of a convolution with many channels, which are computed with fewer products.
fn few_products(
    n: usize,
    c: usize,
    o: usize,
    [h, w]: [usize; 2],
    pad: [isize; 2],
    k: usize,
) -> [(Conv, [usize; 3]); 2] {
    let forward = Conv::new(n, c, o, &[h, w], &[k, k])
        .and_then(|conv| conv.padding(&pad, &pad))
        .expect("the parameters are valid");
    let [_, oh, ow] = forward.output();
    let weight = Conv::new(c, n, o, &[h, w], &[oh, ow])
        .and_then(|conv| conv.padding(&pad, &pad))
        .expect("the parameters are valid")
        .strides([h * w, c * h * w], [oh * ow, o * oh * ow], [k * k, c * k * k]);
    assert_eq!(weight.output(), [1, k, k]);
    let (x, y) = (n * c * h * w, n * o * oh * ow);
    [(forward, [x, o * c * k * k, y]), (weight, [x, y, o * c * k * k])]
}

#[test]
fn fewer_products_are_accurate_and_the_same_on_any_threads() {
    let pools: Vec<Pool> = [1, 2, 3, 4].map(Pool::new).into();
    let mut random = Random(11);
    let cases = [
        (2, 32, 32, [8, 8], [1, 1], 3),
        (3, 33, 41, [7, 5], [1, 1], 3),
        (1, 40, 32, [9, 70], [0, 1], 3),
        (9, 64, 96, [4, 4], [1, 1], 3),
        (2, 48, 32, [6, 6], [2, 0], 3),
        (4, 32, 64, [16, 16], [1, 1], 3),
        (2, 520, 32, [4, 6], [1, 1], 3),
        (70, 32, 32, [2, 2], [1, 1], 3),
        (9, 33, 64, [14, 14], [2, 2], 5),
        (2, 64, 32, [9, 12], [2, 1], 5),
        (9, 256, 40, [8, 8], [1, 1], 3),
    ];
    for (n, c, o, extent, pad, k) in cases {
        // The gradient of 25 taps is left to the definition.
        let forms = if k == 5 { 1 } else { 2 };
        for (conv, [x, kernel, out]) in few_products(n, c, o, extent, pad, k).into_iter().take(forms) {
            let (x, kernel) = (single(&mut random, x), single(&mut random, kernel));
            let mut first: Option<Vec<f32>> = None;
            for pool in &pools {
                let mut got = vec![7.0; out];
                conv.run(pool, &x, &kernel, &mut got).expect("the operands fit");
                if let Some(first) = &first {
                    assert!(first == &got, "{conv:?} on {} threads", pool.threads());
                    continue;
                }
                let [mean, most] = errors(&conv, &x, &kernel, &got);
                assert!(mean < 2.5e-6 && most < 2e-5, "{conv:?}: {mean:e}, at most {most:e}");
                first = Some(got);
            }
        }
    }
}

#[test]
fn an_infinity_reaches_only_its_own_results() {
    let pool = Pool::new(2);
    let mut random = Random(13);
    for (conv, [x, kernel, out]) in few_products(2, 32, 32, [8, 8], [1, 1], 3) {
        let (mut x, kernel) = (single(&mut random, x), single(&mut random, kernel));
        for value in [f32::INFINITY, 3e38, f32::NAN] {
            x[77] = value;
            let (mut got, mut want) = (vec![0f32; out], vec![0f32; out]);
            conv.run(&pool, &x, &kernel, &mut got).expect("the operands fit");
            reference(&conv, &x, &kernel, &mut want);
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(got.is_finite(), want.is_finite(), "{got} instead of {want}");
            }
        }
    }
    // The weight gradient of a depthwise convolution.
    let conv = Conv::new(4, 3, 4, &[6, 6], &[6, 6])
        .and_then(|conv| conv.padding(&[1, 1], &[1, 1]))
        .and_then(|conv| conv.groups(1, 4))
        .expect("the parameters are valid");
    let (mut x, kernel) = (single(&mut random, 4 * 3 * 36), single(&mut random, 4 * 3 * 36));
    x[41] = f32::INFINITY;
    let (mut got, mut want) = (vec![0f32; 4 * 9], vec![0f32; 4 * 9]);
    conv.run(&pool, &x, &kernel, &mut got).expect("the operands fit");
    reference(&conv, &x, &kernel, &mut want);
    for (got, want) in got.iter().zip(&want) {
        assert!(
            got == want || (got - want).abs() < 1e-4 || got.is_nan() == want.is_nan(),
            "{got} not {want}"
        );
        assert_eq!(got.is_finite(), want.is_finite());
    }
}
