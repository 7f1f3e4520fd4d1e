//! Pooling against its definition, and its transposes against it.

use gradus_cpu::Pool;
use gradus_cpu::window::{NOWHERE, Window, WindowError};

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Few distinct values, so that there are ties.
            ((state >> 33) % 17) as f32 - 8.0
        })
        .collect()
}

fn elements(
    place: [usize; 2],
    input: [usize; 2],
    size: [usize; 2],
    stride: [usize; 2],
    low: [usize; 2],
    dilation: [usize; 2],
) -> Vec<(u16, usize)> {
    let mut found = Vec::new();
    for tap in 0..size[0] * size[1] {
        let k = [tap / size[1], tap % size[1]];
        let at: [isize; 2] =
            std::array::from_fn(|d| (place[d] * stride[d] + k[d] * dilation[d]) as isize - low[d] as isize);
        if (0..2).all(|d| at[d] >= 0 && at[d] < input[d] as isize) {
            found.push((tap as u16, at[0] as usize * input[1] + at[1] as usize));
        }
    }
    found
}

#[test]
fn agrees_with_the_definition() {
    let pools = [Pool::new(1), Pool::new(3)];
    let cases = [
        ([8, 8], [2, 2], [2, 2], [0, 0], [0, 0], [1, 1]),
        ([7, 9], [3, 3], [2, 2], [1, 1], [1, 1], [1, 1]),
        ([5, 40], [3, 2], [1, 1], [0, 1], [2, 0], [1, 1]),
        ([12, 30], [3, 3], [1, 3], [2, 2], [2, 2], [2, 3]),
        ([4, 4], [4, 4], [1, 1], [0, 0], [0, 0], [1, 1]),
        ([3, 3], [2, 2], [2, 2], [2, 2], [2, 2], [1, 1]),
        ([1, 100], [1, 5], [1, 2], [0, 4], [0, 4], [1, 1]),
    ];
    for (input, size, stride, low, high, dilation) in cases {
        let window = Window::new(&input, &size)
            .and_then(|w| w.stride(&stride))
            .and_then(|w| w.padding(&low, &high))
            .and_then(|w| w.dilation(&dilation))
            .expect("the parameters are valid");
        let output = window.output().expect("the window fits");
        let (planes, plane, result) = (5, input[0] * input[1], output[1] * output[2]);
        let mut x = numbers(planes * plane, 1);
        x[plane / 2] = f32::NAN;
        x[plane..plane + 2].fill(f32::NEG_INFINITY);
        let cotangent = numbers(planes * result, 2);
        for pool in &pools {
            let (mut largest, mut taps) = (vec![0f32; planes * result], vec![0u16; planes * result]);
            let (mut only, mut sums) = (largest.clone(), largest.clone());
            window.max(pool, planes, &x, &mut largest, Some(&mut taps)).expect("the slices fit");
            window.max(pool, planes, &x, &mut only, None).expect("the slices fit");
            window.sum(pool, planes, &x, &mut sums).expect("the slices fit");
            let (mut back_max, mut back_sum) = (vec![9f32; x.len()], vec![9f32; x.len()]);
            window.max_transposed(pool, planes, &cotangent, &taps, &mut back_max).expect("the slices fit");
            window.sum_transposed(pool, planes, &cotangent, &mut back_sum).expect("the slices fit");
            let (mut want_max, mut want_sum) = (vec![0f32; x.len()], vec![0f32; x.len()]);
            for p in 0..planes {
                for i in 0..result {
                    let place = [i / output[2], i % output[2]];
                    let inside = elements(place, input, size, stride, low, dilation);
                    let mut best = (NOWHERE, f32::NEG_INFINITY);
                    let mut sum = 0.0;
                    for &(tap, at) in &inside {
                        let value = x[p * plane + at];
                        sum += value;
                        let better = value > best.1 || value.is_nan() || best.0 == NOWHERE;
                        if better && !best.1.is_nan() {
                            best = (tap, value);
                        }
                        want_sum[p * plane + at] += cotangent[p * result + i];
                    }
                    let r = p * result + i;
                    assert_eq!(taps[r], best.0, "{window:?}");
                    assert_eq!(largest[r].to_bits(), best.1.to_bits());
                    assert!(only[r] == best.1 || only[r].is_nan() && best.1.is_nan());
                    assert!(sums[r] == sum || sums[r].is_nan() && sum.is_nan());
                    if let Some(&(_, at)) = inside.iter().find(|(tap, _)| *tap == best.0) {
                        want_max[p * plane + at] += cotangent[r];
                    }
                }
            }
            assert_eq!(back_max, want_max);
            assert_eq!(back_sum, want_sum);
        }
    }
}

#[test]
fn parameters_are_checked() {
    assert_eq!(Window::new(&[3], &[2, 2]), Err(WindowError::Rank(2)));
    assert_eq!(Window::new(&[3], &[0]), Err(WindowError::Zero));
    let window = Window::new(&[3], &[4]).expect("valid");
    assert_eq!(window.output(), Err(WindowError::Span { axis: 2, span: 4, padded: 3 }));
    let large = Window::new(&[1 << 16], &[1 << 16]).expect("valid");
    let x = vec![0f32; 1 << 16];
    assert_eq!(large.max(&Pool::serial(), 1, &x, &mut [0.0], None), Err(WindowError::Taps(1 << 16)));
    assert!(window.padding(&[1], &[0]).expect("valid").sum(&Pool::serial(), 1, &x[..2], &mut [0.0]).is_err());
}
