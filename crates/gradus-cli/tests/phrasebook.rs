//! The Gradus column of `docs/phrasebook.md` is this code: it compiles, runs, and stands there as it does here.

use std::path::Path;

use gradus::{
    Axes, DType, Device, Key, Stencil, Tensor, check_grads, checkpoint, cond, custom_vjp, fori_loop, grad,
    hessian, hvp, jacfwd, jacrev, jit, jvp, linearize, scan, value_and_grad, vjp, vmap, vmap_axes,
    while_loop,
};
use gradus_nn::loss;

type Row = (&'static str, &'static str, &'static str, &'static str);

/// Runs the code of the last column.
macro_rules! rows {
    ($rows:ident: $($numpy:literal, $torch:literal, $jax:literal, $gradus:expr;)+) => { $(
        let _ = $gradus;
        $rows.push(($numpy, $torch, $jax, stringify!($gradus)));
    )+ };
}

fn tensors(rows: &mut Vec<Row>) {
    let x = &Tensor::from([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]]);
    let y = &Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let v = &Tensor::from([3.0, 1.0, 2.0]);
    let (i, j, mask) = (&Tensor::from([1i64, 0]), &x.argsort(1), &x.greater(1.0));
    let (a, s) = (&v.sort(0), &x.matmul(&x.t()));
    rows! { rows:
        "np.array([1.0, 2.0])", "torch.tensor([1.0, 2.0])", "jnp.array([1.0, 2.0])", Tensor::from([1.0, 2.0]);
        "np.zeros((2, 3))", "torch.zeros(2, 3)", "jnp.zeros((2, 3))", Tensor::zeros([2, 3], DType::F64);
        "np.ones((2, 3))", "torch.ones(2, 3)", "jnp.ones((2, 3))", Tensor::ones([2, 3], DType::F64);
        "np.full((2, 3), 7.0)", "torch.full((2, 3), 7.0)", "jnp.full((2, 3), 7.0)", Tensor::full([2, 3], DType::F64, 7.0);
        "np.zeros_like(x)", "torch.zeros_like(x)", "jnp.zeros_like(x)", x.zeros_like();
        "np.arange(5)", "torch.arange(5)", "jnp.arange(5)", Tensor::arange(5, DType::I64);
        "np.arange(0, 1, 0.1)", "torch.arange(0, 1, 0.1)", "jnp.arange(0, 1, 0.1)", Tensor::arange_step(0.0, 1.0, 0.1, DType::F64);
        "np.linspace(0, 1, 5)", "torch.linspace(0, 1, 5)", "jnp.linspace(0, 1, 5)", Tensor::linspace(0.0, 1.0, 5, DType::F64);
        "np.eye(3)", "torch.eye(3)", "jnp.eye(3)", Tensor::eye(3, DType::F64);
        "np.meshgrid(v, v, indexing='ij')", "torch.meshgrid(v, v, indexing='ij')", "jnp.meshgrid(v, v, indexing='ij')", Tensor::meshgrid(&[v, v]);
        "x.shape", "x.shape", "x.shape", x.shape();
        "x.ndim", "x.ndim", "x.ndim", x.rank();
        "x.size", "x.numel()", "x.size", x.size();
        "x.dtype", "x.dtype", "x.dtype", x.dtype();
        "x.astype(np.float32)", "x.float()", "x.astype(jnp.float32)", x.cast(DType::F32);
        "x.sum().item()", "x.sum().item()", "x.sum().item()", x.sum(()).item::<f64>();
        "x.ravel().tolist()", "x.flatten().tolist()", "x.ravel().tolist()", x.to_vec::<f64>();
        "–", "x.to('cpu')", "jax.device_put(x, device)", x.to(&Device::cpu());
        "x + y", "x + y", "x + y", x + y;
        "x * 2", "x * 2", "x * 2", x * 2.0;
        "x @ y.T", "x @ y.T", "x @ y.T", x.matmul(&y.t());
        "x ** 2", "x ** 2", "x ** 2", x.powi(2);
        "x ** 2.5", "x ** 2.5", "x ** 2.5", x.powf(2.5);
        "x // y", "x // y", "x // y", x.floor_divide(y);
        "x % y", "x % y", "x % y", x.remainder(y);
        "x > 1", "x > 1", "x > 1", x.greater(1.0);
        "(x > 1) & (x < 3)", "(x > 1) & (x < 3)", "(x > 1) & (x < 3)", x.greater(1.0) & x.less(3.0);
        "np.where(mask, x, y)", "torch.where(mask, x, y)", "jnp.where(mask, x, y)", mask.select(x, y);
        "np.maximum(x, y)", "torch.maximum(x, y)", "jnp.maximum(x, y)", x.maximum(y);
        "np.clip(x, 0, 1)", "x.clamp(0, 1)", "jnp.clip(x, 0, 1)", x.clamp(0.0, 1.0);
        "np.exp(x)", "x.exp()", "jnp.exp(x)", x.exp();
        "np.log(x)", "x.log()", "jnp.log(x)", x.log();
        "np.log1p(x)", "x.log1p()", "jnp.log1p(x)", x.log1p();
        "np.sqrt(x)", "x.sqrt()", "jnp.sqrt(x)", x.sqrt();
        "np.arctan2(x, y)", "torch.atan2(x, y)", "jnp.arctan2(x, y)", x.atan2(y);
        "scipy.special.erf(x)", "torch.erf(x)", "jax.scipy.special.erf(x)", x.erf();
        "np.isnan(x)", "x.isnan()", "jnp.isnan(x)", x.is_nan();
        "np.nan_to_num(x)", "x.nan_to_num()", "jnp.nan_to_num(x)", x.nan_to_num(0.0);
        "x.sum()", "x.sum()", "x.sum()", x.sum(());
        "x.sum(0)", "x.sum(0)", "x.sum(0)", x.sum(0);
        "x.mean(-1, keepdims=True)", "x.mean(-1, keepdim=True)", "x.mean(-1, keepdims=True)", x.mean(Axes::keep(-1));
        "x.max(1)", "x.amax(1)", "x.max(1)", x.max(1);
        "x.prod(1)", "x.prod(1)", "x.prod(1)", x.prod(1);
        "x.var(0)", "x.var(0, correction=0)", "x.var(0)", x.var(0, 0);
        "x.std(0, ddof=1)", "x.std(0)", "x.std(0, ddof=1)", x.std(0, 1);
        "np.median(v)", "v.quantile(0.5)", "jnp.median(v)", v.median(0);
        "mask.any()", "mask.any()", "mask.any()", mask.any(());
        "x.argmax(1)", "x.argmax(1)", "x.argmax(1)", x.argmax(1);
        "np.linalg.norm(v)", "torch.linalg.norm(v)", "jnp.linalg.norm(v)", v.norm(());
        "np.cumsum(x, 1)", "x.cumsum(1)", "jnp.cumsum(x, 1)", x.cumsum(1);
        "np.maximum.accumulate(v)", "v.cummax(0).values", "jax.lax.cummax(v)", v.cummax(0);
        "scipy.special.logsumexp(v)", "v.logsumexp(0)", "jax.nn.logsumexp(v)", v.logsumexp(0);
        "x.reshape(3, -1)", "x.reshape(3, -1)", "x.reshape(3, -1)", x.reshape([3, -1]);
        "x.T", "x.T", "x.T", x.t();
        "np.transpose(x, (1, 0))", "x.permute(1, 0)", "jnp.transpose(x, (1, 0))", x.permute([1, 0]);
        "np.moveaxis(x, 0, 1)", "x.movedim(0, 1)", "jnp.moveaxis(x, 0, 1)", x.move_axis(0, 1);
        "x[:, None]", "x.unsqueeze(1)", "x[:, None]", x.expand_dims(1);
        "x[:1].squeeze(0)", "x[:1].squeeze(0)", "x[:1].squeeze(0)", x.slice(0, ..1).squeeze(0);
        "np.broadcast_to(v, (2, 3))", "v.expand(2, 3)", "jnp.broadcast_to(v, (2, 3))", v.broadcast_to([2, 3]);
        "x[1]", "x[1]", "x[1]", x.at(1);
        "x[:, 0]", "x[:, 0]", "x[:, 0]", x.index(1, 0);
        "x[:, 1:]", "x[:, 1:]", "x[:, 1:]", x.slice(1, 1..);
        "v[::2]", "v[::2]", "v[::2]", v.slice_step(0, .., 2);
        "np.flip(x, 0)", "x.flip(0)", "jnp.flip(x, 0)", x.flip(0);
        "np.roll(v, 1)", "v.roll(1)", "jnp.roll(v, 1)", v.roll(1, 0);
        "np.concatenate([x, y])", "torch.cat([x, y])", "jnp.concatenate([x, y])", Tensor::concat(&[x, y], 0);
        "np.stack([x, y])", "torch.stack([x, y])", "jnp.stack([x, y])", Tensor::stack(&[x, y], 0);
        "np.split(v, [1])", "v.split([1, 2])", "jnp.split(v, [1])", v.split(&[1, 2], 0);
        "np.tile(v, 2)", "v.repeat(2)", "jnp.tile(v, 2)", v.tile(2, 0);
        "np.repeat(v, 2)", "v.repeat_interleave(2)", "jnp.repeat(v, 2)", v.repeat(2, 0);
        "np.pad(v, (1, 2))", "F.pad(v, (1, 2))", "jnp.pad(v, (1, 2))", v.pad(&[(1, 2)]);
        "np.tril(x)", "x.tril()", "jnp.tril(x)", x.tril(0);
        "np.take(x, i, 0)", "x[i]", "jnp.take(x, i, 0)", x.take(i, 0);
        "np.take_along_axis(x, j, 1)", "x.gather(1, j)", "jnp.take_along_axis(x, j, 1)", x.take_along_axis(j, 1);
        "np.add.at(x, i, y)", "x.index_add(0, i, y)", "x.at[i].add(y)", x.scatter_add(i, y, 0);
        "x[mask] = 0", "x.masked_fill(mask, 0)", "jnp.where(mask, 0, x)", x.masked_fill(mask, 0.0);
        "np.sort(v)", "v.sort().values", "jnp.sort(v)", v.sort(0);
        "np.argsort(v)", "v.argsort()", "jnp.argsort(v)", v.argsort(0);
        "–", "v.topk(2)", "jax.lax.top_k(v, 2)", v.top_k(2, 0);
        "np.searchsorted(a, v)", "torch.searchsorted(a, v)", "jnp.searchsorted(a, v)", a.searchsorted(v);
        "np.eye(3)[i]", "F.one_hot(i, 3)", "jax.nn.one_hot(i, 3)", i.one_hot(3, DType::F64);
        "np.outer(v, v)", "torch.outer(v, v)", "jnp.outer(v, v)", v.outer(v);
        "np.einsum('ij,kj->ik', x, y)", "torch.einsum('ij,kj->ik', x, y)", "jnp.einsum('ij,kj->ik', x, y)", Tensor::einsum("ij,kj->ik", &[x, y]);
        "np.tensordot(x, y, ([1], [1]))", "torch.tensordot(x, y, ([1], [1]))", "jnp.tensordot(x, y, ([1], [1]))", x.tensordot(y, &[1], &[1]);
        "np.trace(s)", "s.trace()", "jnp.trace(s)", s.trace();
    }
}

fn networks(rows: &mut Vec<Row>) {
    let x = &Tensor::from([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]]);
    let (labels, key) = (&Tensor::from([1i64, 0]), &Key::new(0));
    let (image, kernel) = (&Tensor::ones([1, 1, 6, 6], DType::F64), &Tensor::ones([2, 1, 3, 3], DType::F64));
    rows! { rows:
        "–", "F.relu(x)", "jax.nn.relu(x)", x.relu();
        "–", "F.gelu(x)", "jax.nn.gelu(x, approximate=False)", x.gelu();
        "–", "F.silu(x)", "jax.nn.silu(x)", x.silu();
        "scipy.special.expit(x)", "x.sigmoid()", "jax.nn.sigmoid(x)", x.sigmoid();
        "scipy.special.softmax(x, 1)", "x.softmax(1)", "jax.nn.softmax(x, 1)", x.softmax(1);
        "scipy.special.log_softmax(x, 1)", "x.log_softmax(1)", "jax.nn.log_softmax(x, 1)", x.log_softmax(1);
        "–", "F.cross_entropy(x, labels)", "optax.losses.softmax_cross_entropy_with_integer_labels(x, labels).mean()", loss::cross_entropy(x, labels);
        "–", "F.layer_norm(x, (3,))", "jax.nn.standardize(x, -1)", x.standardize(-1, 1e-5);
        "–", "F.conv2d(image, kernel, padding=1)", "jax.lax.conv(image, kernel, (1, 1), 'SAME')", image.conv2d(kernel, 1, 1);
        "–", "F.max_pool2d(image, 2)", "flax.linen.max_pool(image, (2, 2), (2, 2))", image.max_pool2d(2);
        "–", "F.avg_pool2d(image, 3, 1)", "flax.linen.avg_pool(image, (3, 3))", image.avg_pool(&[3, 3], &Stencil::new(2));
        "np.random.default_rng(0)", "torch.manual_seed(0)", "jax.random.key(0)", Key::new(0);
        "–", "–", "jax.random.split(key)", key.split();
        "rng.uniform(size=(2, 3))", "torch.rand(2, 3)", "jax.random.uniform(key, (2, 3))", key.uniform([2, 3], DType::F64);
        "rng.normal(size=(2, 3))", "torch.randn(2, 3)", "jax.random.normal(key, (2, 3))", key.normal([2, 3], DType::F64);
        "rng.permutation(5)", "torch.randperm(5)", "jax.random.permutation(key, 5)", key.permutation(5);
    }
}

fn transforms(rows: &mut Vec<Row>) {
    let (x, v) = (&Tensor::from([0.5, 1.0]), &Tensor::from([1.0, 0.0]));
    let f = |x: &Tensor| (x.sin() * x).sum(());
    let g = |x: &Tensor| x.sin() * x;
    let body = |c: &Tensor, x: &Tensor| (c + x, c * x);
    let (zero, xs, p) = (&Tensor::from(0.0), &Tensor::from([1.0, 2.0, 3.0]), &f(x).greater(0.0));
    let (h, k) = (|x: &Tensor| x.sin(), |(x, w): &(Tensor, Tensor)| x * w);
    let (a, b) = (|x: &Tensor| x.exp(), |x: &Tensor| x * 2.0);
    let (more, next) = (|x: &Tensor| x.sum(()).less(9.0), |x: &Tensor| x * 2.0);
    let step = |_: &Tensor, x: &Tensor| x * 2.0;
    let forward = |x: &Tensor| (x.exp(), x.exp());
    let backward = |y: &Tensor, dy: &Tensor| y * dy;
    rows! { rows:
        "–", "torch.func.grad(f)(x)", "jax.grad(f)(x)", grad(f)(x);
        "–", "torch.func.grad_and_value(f)(x)", "jax.value_and_grad(f)(x)", value_and_grad(f)(x);
        "–", "torch.func.jvp(g, (x,), (v,))", "jax.jvp(g, (x,), (v,))", jvp(g, x, v);
        "–", "torch.func.vjp(g, x)", "jax.vjp(g, x)", vjp(g, x);
        "–", "torch.func.linearize(g, x)", "jax.linearize(g, x)", linearize(g, x);
        "–", "torch.func.jacfwd(g)(x)", "jax.jacfwd(g)(x)", jacfwd(g)(x);
        "–", "torch.func.jacrev(g)(x)", "jax.jacrev(g)(x)", jacrev(g)(x);
        "–", "torch.func.hessian(f)(x)", "jax.hessian(f)(x)", hessian(f)(x);
        "–", "torch.func.jvp(grad(f), (x,), (v,))", "jax.jvp(jax.grad(f), (x,), (v,))", hvp(f, x, v);
        "–", "torch.func.vmap(h)(xs)", "jax.vmap(h)(xs)", vmap(h)(xs);
        "–", "torch.func.vmap(k, in_dims=(0, None))", "jax.vmap(k, in_axes=(0, None))", vmap_axes(k, &[Some(0), None], 0);
        "–", "torch.compile(f)", "jax.jit(f)", jit(f).call(x);
        "–", "torch.utils.checkpoint.checkpoint(f, x)", "jax.checkpoint(f)(x)", checkpoint(f)(x);
        "–", "x.detach()", "jax.lax.stop_gradient(x)", x.stop_gradient();
        "–", "torch.cond(p, a, b, (x,))", "jax.lax.cond(p, a, b, x)", cond(p, x, a, b);
        "–", "–", "jax.lax.scan(body, zero, x)", scan(zero, x, body);
        "–", "–", "jax.lax.while_loop(more, next, x)", while_loop(x, more, next);
        "–", "–", "jax.lax.fori_loop(0, 5, step, x)", fori_loop(0..5, x, step);
        "–", "torch.autograd.Function", "jax.custom_vjp", custom_vjp(forward, backward)(x);
        "–", "torch.autograd.gradcheck(f, x)", "jax.test_util.check_grads(f, (x,), 2)", check_grads(f, x, 2);
    }
}

#[test]
fn the_code_of_the_page_is_this_code() {
    let mut rows = Vec::new();
    tensors(&mut rows);
    networks(&mut rows);
    transforms(&mut rows);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/phrasebook.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let tight = |text: &str| text.split_whitespace().collect::<String>();
    let of_page: Vec<String> = page.lines().filter(|line| line.starts_with("| ")).map(tight).collect();
    // A bar would end the cell.
    let code = |code: &str| code.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let cell = |text: &str| if text == "–" { text.to_string() } else { format!("`{}`", code(text)) };
    let line = |&(numpy, torch, jax, gradus): &Row| {
        format!("| {} | {} | {} | {} |", cell(numpy), cell(torch), cell(jax), cell(gradus))
    };
    let wanted: Vec<String> = rows.iter().map(line).collect();
    let missing: Vec<&String> = wanted.iter().filter(|line| !of_page.contains(&tight(line))).collect();
    assert!(
        missing.is_empty(),
        "{} rows are not in docs/phrasebook.md:\n{}",
        missing.len(),
        missing.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("\n")
    );
    // The heads of the tables.
    let heads = of_page.iter().filter(|line| line.starts_with("|NumPy")).count();
    assert_eq!(of_page.len(), rows.len() + heads, "the page has rows that are not run");
    assert!(rows.len() >= 80);
}
