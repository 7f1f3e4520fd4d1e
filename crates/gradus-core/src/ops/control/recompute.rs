//! A loop over what another loop stacked, as a loop against it that needs no stack.

use super::tower::{Inputs, Tower, TowerLevel, restrict};
use super::{Replay, Scan};
use crate::graph::Vars;
use crate::{Builder, DType, Graph, Result, Type, Var};

/// Emits `back`, a loop against `forward` some of whose stacked operands `forward` gave: the states of `forward` are
/// computed again from at most `slots` stored ones, and from each state what the step stacked. `from` says for each
/// stacked operand of `back` which result of `forward` it is.
pub(crate) fn recomputed(
    b: &mut Builder,
    forward: (&Scan, &[Var]),
    back: (&Scan, &[Var]),
    from: &[Option<usize>],
    slots: usize,
) -> Result<Vars> {
    let ((first, first_inputs), (second, second_inputs)) = (forward, back);
    let (fc, fs, fx) = first.split_at(first_inputs);
    let (bc, bs, bx) = second.split_at(second_inputs);
    let own = |i: &usize| from[*i].is_none();
    let own_rows: Vec<usize> = (0..bx.len()).filter(own).collect();
    let (first_types, second_types) = (first.body.input_types(), second.body.input_types());
    let (tfc, tfs, tfx) = first.split_at(&first_types);
    let (tbc, tbs, tbx) = second.split_at(&second_types);
    let own_types: Vec<Type> = own_rows.iter().map(|&i| tbx[i].clone()).collect();
    let (constants, rows) = ([tfc, tbc].concat(), [tfx, &own_types].concat());

    // The states of the first loop, without what it stacks.
    let marks: Vec<bool> = (0..first.body.outputs().len()).map(|i| i < first.carry).collect();
    let states = restrict(&first.body, &vec![true; first_types.len()], &marks)?;
    let mut f = Builder::new();
    let ins = Inputs::new(&mut f, &constants, &rows, &[tfs.to_vec()]);
    let args = [&ins.constants[..tfc.len()], &ins.states[0], &ins.rows[..tfx.len()]].concat();
    let results = f.inline(&states, &args)?;
    let lower: Graph = f.finish(results);

    // A step of the second loop, what the first stacked there computed again.
    let mut f = Builder::new();
    let ins = Inputs::new(&mut f, &constants, &rows, &[tfs.to_vec(), tbs.to_vec()]);
    let args = [&ins.constants[..tfc.len()], &ins.states[0], &ins.rows[..tfx.len()]].concat();
    let again = f.inline(&first.body, &args)?;
    let mut at = tfx.len();
    let mut args = [&ins.constants[tfc.len()..], &ins.states[1]].concat();
    for result in from {
        args.push(match result {
            Some(i) => again[*i],
            None => {
                at += 1;
                ins.rows[at - 1]
            }
        });
    }
    let results = f.inline(&second.body, &args)?;
    let upper = f.finish(results);

    let tower = Tower {
        trips: b.full(&Type::new(DType::I64, []), first.length as f64),
        constants: [fc, bc].concat(),
        stacked: fx.iter().copied().chain(own_rows.iter().map(|&i| bx[i])).collect(),
        length: first.length,
        slots: Some(slots),
        levels: vec![
            TowerLevel { backward: first.reverse, initial: fs.to_vec(), step: lower },
            TowerLevel { backward: second.reverse, initial: bs.to_vec(), step: upper },
        ],
    };
    let n = second.body.outputs().len();
    Ok(tower.emit(b, &vec![true; n])?.into_iter().flatten().collect())
}

impl Replay {
    /// The same replay with at most `slots` stored states, where their number was left open.
    pub(crate) fn with_most(&self, slots: usize) -> Replay {
        match self.slots {
            Some(_) => self.clone(),
            None => Replay { slots: Some(slots.min(self.sweep().slots())), ..self.clone() },
        }
    }
}

impl Scan {
    /// The same loop with the marked stacked results only.
    pub(crate) fn with_results(&self, marks: &[bool]) -> Result<Scan> {
        let outputs: Vec<bool> = std::iter::repeat_n(true, self.carry).chain(marks.iter().copied()).collect();
        let body = restrict(&self.body, &vec![true; self.body.inputs().len()], &outputs)?;
        Ok(Scan { body: std::sync::Arc::new(body), ..self.clone() })
    }
}
