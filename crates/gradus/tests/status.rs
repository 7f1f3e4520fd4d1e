//! What fails on its data: only what counts, whichever transforms it went through, told alike by every device.

use gradus::{
    Checkpoints, Device, ErrorKind, Tensor, checkpoint, cond, custom_jvp, grad, jit, jvp, scan, scan_with,
    vmap, while_loop, while_loop_with,
};

/// `table[i]`, as a part of which the index lies.
fn at(table: &Tensor, i: &Tensor) -> Tensor {
    table.take(i, 0)
}

/// 0, which has to be computed.
fn nothing(i: &Tensor) -> Tensor {
    i.clamp(0i64, 0i64)
}

fn table() -> Tensor {
    Tensor::from([1.0, 2.0, 4.0])
}

type Example = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

/// Functions of a table and an index: each counts `table[i]` where `i < 3`, and is 0 elsewhere.
fn choices() -> Vec<Example> {
    fn inside(i: &Tensor) -> Tensor {
        i.less(3i64)
    }
    vec![
        ("cond", |t, i| {
            cond(&inside(i), &(t.clone(), i.clone()), |(t, i)| at(t, i), |(t, _)| t.sum(()) * 0.0)
        }),
        ("other branch", |t, i| {
            cond(&i.greater_equal(3i64), &(t.clone(), i.clone()), |(t, _)| t.sum(()) * 0.0, |(t, i)| at(t, i))
        }),
        ("captured", |t, i| cond(&inside(i), &i.clone(), |i| at(t, i), |_| t.sum(()) * 0.0)),
        ("cond in cond", |t, i| {
            let inner = |(t, i): &(Tensor, Tensor)| {
                cond(&i.greater_equal(0i64), &(t.clone(), i.clone()), |(t, i)| at(t, i), |(t, i)| at(t, i))
            };
            cond(&inside(i), &(t.clone(), i.clone()), inner, |(t, _)| t.sum(()) * 0.0)
        }),
        ("scan in cond", |t, i| {
            let steps = Tensor::from([0i64, 0]);
            let of = |(t, i): &(Tensor, Tensor)| {
                scan(&t.sum(()), &steps, |_, step| (at(t, &(i + step)), at(t, i))).0
            };
            cond(&inside(i), &(t.clone(), i.clone()), of, |(t, _)| t.sum(()) * 0.0)
        }),
        ("while in cond", |t, i| {
            // Counts down to 2 and up from there: for ever where the index is larger.
            let of = |(t, i): &(Tensor, Tensor)| {
                let start = (i.clone(), t.sum(()) * 0.0);
                while_loop(&start, |(k, _)| k.not_equal(3i64), |(k, _)| (k + 1i64, at(t, i))).1
            };
            cond(&inside(i), &(t.clone(), i.clone()), of, |(t, _)| t.sum(()) * 0.0)
        }),
        ("checkpoint in cond", |t, i| {
            let of = |(t, i): &(Tensor, Tensor)| checkpoint(|t: &Tensor| at(t, i))(t);
            cond(&inside(i), &(t.clone(), i.clone()), of, |(t, _)| t.sum(()) * 0.0)
        }),
        ("own rule in cond", |t, i| {
            let of = |(t, i): &(Tensor, Tensor)| custom_jvp(|t: &Tensor| at(t, i), |_, dt| at(dt, i))(t);
            cond(&inside(i), &(t.clone(), i.clone()), of, |(t, _)| t.sum(()) * 0.0)
        }),
        ("quotient in cond", |t, i| {
            let of = |(t, i): &(Tensor, Tensor)| {
                at(t, &(nothing(&(Tensor::from(6i64) / (Tensor::from(3i64) - i))) + i))
            };
            cond(&inside(i), &(t.clone(), i.clone()), of, |(t, _)| t.sum(()) * 0.0)
        }),
        ("while", |t, i| {
            // Goes on to the end of the table: what lies there is not read by an example that has arrived.
            let start = (i.clone(), t.sum(()) * 0.0);
            let step = |(k, _): &(Tensor, Tensor)| (k + 1i64, at(t, k));
            let (_, last) = while_loop(&start, |(k, _)| k.less(3i64), step);
            cond(
                &inside(i),
                &(t.clone(), i.clone(), last),
                |(t, i, last)| at(t, i) + last * 0.0,
                |(_, _, l)| l * 0.0,
            )
        }),
        ("stored states", |t, i| {
            let start = (i.clone(), t.sum(()) * 0.0);
            let step = |(k, y): &(Tensor, Tensor)| (k + 1i64, y + at(t, k).square() / 2.0);
            let checkpoints = Checkpoints::Slots(1);
            let (_, sum) = while_loop_with(checkpoints, &start, |(k, _)| k.less(3i64), step);
            cond(
                &inside(i),
                &(t.clone(), i.clone(), sum),
                |(t, i, sum)| at(t, i) + sum * 0.0,
                |(_, _, s)| s * 0.0,
            )
        }),
    ]
}

#[test]
fn what_an_example_does_not_take_fails_nowhere() {
    let indices = Tensor::from([1i64, 7, 2, 3]);
    let want = Tensor::from([2.0, 0.0, 4.0, 0.0]);
    let slope = Tensor::from([[0.0, 1.0, 0.0], [0.0; 3], [0.0, 0.0, 1.0], [0.0; 3]]);
    for (name, f) in choices() {
        let table = table();
        let values = vmap(|i: &Tensor| f(&table, i));
        assert_eq!(values(&indices), want, "{name}");
        assert_eq!(jit(&values).call(&indices), want, "{name}, compiled");
        let slopes = vmap(|i: &Tensor| grad(|t: &Tensor| f(t, i))(&table));
        assert_eq!(slopes(&indices), slope, "{name}: gradient");
        let total = |t: &Tensor| vmap(|i: &Tensor| f(t, i))(&indices).sum(());
        assert_eq!(grad(total)(&table), slope.sum(0), "{name}: gradient of the batch");
        let (_, dot) = jvp(total, &table, &Tensor::ones([3], gradus::DType::F64));
        assert_eq!(dot.item::<f64>(), 2.0, "{name}: tangent of the batch");
        // An index that counts is an error still, which names it.
        let error = jit(&values).try_call(&Tensor::from([1i64, -5, 7])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Index { index: -5, extent: 3, .. }), "{name}: {error}");
    }
}

/// An axis without elements has no index that is right: a branch that reads one runs for examples that take it alone.
#[test]
fn what_an_example_does_not_take_reads_no_axis_without_elements() {
    let empty = Tensor::zeros([0], gradus::DType::F64);
    let takes: [(&str, fn(&Tensor, &Tensor) -> Tensor); 6] = [
        ("cond", |t, i| {
            cond(&i.greater(3i64), &(t.clone(), i.clone()), |(t, i)| at(t, i), |(t, _)| t.sum(()))
        }),
        ("other branch", |t, i| cond(&i.less(4i64), &i.clone(), |_| t.sum(()), |i| at(t, i))),
        ("deeper", |t, i| {
            let inner = |i: &Tensor| cond(&i.less(9i64), &i.clone(), |i| at(t, i), |_| t.sum(()) + 1.0);
            cond(&i.less(4i64), &i.clone(), |_| t.sum(()), inner)
        }),
        ("scan", |t, i| {
            let steps = |i: &Tensor| {
                scan(&t.sum(()), &(nothing(i) + Tensor::from([0i64, 1])), |c, k| (c + at(t, &(i + k)), ())).0
            };
            cond(&i.less(4i64), &i.clone(), |_| t.sum(()), steps)
        }),
        ("while", |t, i| {
            while_loop(&(i.clone(), t.sum(())), |(k, _)| k.greater(3i64), |(k, y)| (k - 1i64, y + at(t, k))).1
        }),
        ("placed", |t, i| {
            let place = |i: &Tensor| t.scatter_add(i, &(t.sum(())), 0).sum(());
            cond(&i.less(4i64), &i.clone(), |_| t.sum(()), place)
        }),
    ];
    for (name, f) in takes {
        for device in [Device::cpu(), Device::reference()] {
            let empty = empty.to(&device).unwrap();
            let values = vmap(|i: &Tensor| f(&empty, i));
            let slopes = vmap(|i: &Tensor| grad(|t: &Tensor| f(t, i))(&empty));
            let none = Tensor::from([0i64, 3]).to(&device).unwrap();
            assert_eq!(values(&none).to_vec::<f64>(), [0.0, 0.0], "{name}");
            assert_eq!(jit(&values).call(&none).to_vec::<f64>(), [0.0, 0.0], "{name}, compiled");
            let total = |t: &Tensor| vmap(|i: &Tensor| f(t, i))(&none).sum(());
            assert_eq!(slopes(&none).shape(), &[2, 0].into(), "{name}: gradient");
            assert_eq!(grad(total)(&empty).shape(), &[0].into(), "{name}: gradient of the batch");
            // An example that takes it fails.
            let some = Tensor::from([0i64, 5]).to(&device).unwrap();
            let error = jit(&values).try_call(&some).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Index { extent: 0, .. }), "{name}: {error}");
            assert!(error.to_string().contains("status.rs:"), "{name}: {error}");
        }
    }
}

/// Programs that fail on their data where `i` is 7, and the line they do.
fn failing() -> Vec<Example> {
    vec![
        ("plain", at),
        ("twice", |t, i| at(t, &(i - 7i64)) + at(t, i)),
        ("placed", |t, i| t.scatter_add(i, &(t.sum(())), 0).sum(())),
        ("quotient", |t, i| at(t, &(Tensor::from(0i64) / (i - 7i64)))),
        ("remainder", |t, i| at(t, &(Tensor::from(0i64) % (i - 7i64)))),
        ("taken branch", |t, i| cond(&i.greater(3i64), &i.clone(), |i| at(t, i), |_| t.sum(()))),
        ("scan", |t, i| {
            scan(&t.sum(()), &(nothing(i) + Tensor::from([-7i64, -5, 0, 1])), |_, k| {
                (at(t, &(i + k)), at(t, &(i + k)))
            })
            .0
        }),
        ("scan of few states", |t, i| {
            let steps = nothing(i) + Tensor::from([-7i64, -5, 0, 1]);
            scan_with(Checkpoints::Slots(2), &t.sum(()), &steps, |c, k| (c * at(t, &(i + k)), ())).0
        }),
        ("while", |t, i| {
            let start = (i - 7i64, t.sum(()));
            while_loop(&start, |(k, _)| k.less(9i64), |(k, y)| (k + 1i64, y * at(t, k))).1
        }),
        ("its condition", |t, i| {
            let goes_on = |(k, _): &(Tensor, Tensor)| at(&Tensor::from([true, true, true]), k);
            while_loop(&(i - 7i64, t.sum(())), goes_on, |(k, y)| (k + 1i64, y.sin())).1
        }),
        ("its first condition", |t, i| {
            let goes_on = |(k, _): &(Tensor, Tensor)| at(&Tensor::from([true, true, true]), k);
            while_loop(&(i.clone(), t.sum(())), goes_on, |(k, y)| (k + 1i64, y.sin())).1
        }),
        ("checkpoint", |t, i| checkpoint(|t: &Tensor| at(&t.exp(), i).square())(t)),
        ("own rule", |t, i| custom_jvp(|t: &Tensor| at(t, i), |_, dt| at(dt, i))(t)),
        ("nested", |t, i| {
            let inner = |c: &Tensor, k: &Tensor| {
                (cond(&k.greater(0i64), &(c.clone(), i.clone()), |(c, i)| c + at(t, i), |(c, _)| c.sin()), ())
            };
            scan(&t.sum(()), &(nothing(i) + Tensor::from([0i64, 0, 1])), inner).0
        }),
        ("nothing there", |t, i| at(&at(t, &Tensor::from(vec![0i64; 0])), i)),
    ]
}

#[test]
fn devices_tell_of_the_same_error_at_the_same_line() {
    type Variant =
        (&'static str, fn(fn(&Tensor, &Tensor) -> Tensor, &Tensor, &Tensor) -> gradus::Result<Tensor>);
    let variants: [Variant; 4] = [
        ("value", |f, t, i| jit(|(t, i): &(Tensor, Tensor)| f(t, i)).try_call(&(t.clone(), i.clone()))),
        ("gradient", |f, t, i| {
            jit(|(t, i): &(Tensor, Tensor)| grad(|t: &Tensor| f(t, i))(t)).try_call(&(t.clone(), i.clone()))
        }),
        ("tangent", |f, t, i| {
            let tangent = |(t, i): &(Tensor, Tensor)| jvp(|t: &Tensor| f(t, i), t, t).1;
            jit(tangent).try_call(&(t.clone(), i.clone()))
        }),
        ("batch", |f, t, i| {
            let batch = |(t, i): &(Tensor, Tensor)| vmap(|i: &Tensor| f(t, i))(&i.broadcast_to([2]));
            jit(batch).try_call(&(t.clone(), i.clone()))
        }),
    ];
    let mut met = 0;
    for (name, f) in failing() {
        for (variant, call) in variants {
            let mut told = Vec::new();
            for device in [Device::cpu(), Device::reference()] {
                let (t, i) = (table().to(&device).unwrap(), Tensor::from(7i64).to(&device).unwrap());
                let error = match call(f, &t, &i) {
                    Err(error) => error,
                    Ok(result) => panic!("{name}, {variant} on {device:?}: {result}"),
                };
                let data = matches!(error.kind(), ErrorKind::Index { .. })
                    || error.to_string().contains("division of an integer by zero");
                assert!(data && error.site().is_known(), "{name}, {variant} on {device:?}: {error}");
                told.push(error.to_string());
            }
            assert_eq!(told[0], told[1], "{name}, {variant}");
            met += 1;
        }
    }
    assert_eq!(met, 60);
}
