//! The plans of sub-programs, each made once for all candidate plans of the enclosing program.

use std::cell::RefCell;
use std::sync::Arc;

use gradus_core::quick::Map;
use gradus_core::{Graph, Result, nest};

use crate::{Limits, Options, Plan, Strategy};

/// A sub-program by its address, which stays valid as long as the table holds it, and all that its plan depends on.
type Key = (usize, Strategy, Limits);

thread_local! {
    static KNOWN: RefCell<Option<Map<Key, (Arc<Graph>, Arc<Plan>)>>> = const { RefCell::new(None) };
}

/// While it lives, plans of sub-programs are kept on this thread.
pub(crate) struct Kept {
    outermost: bool,
}

pub(crate) fn kept() -> Kept {
    let outermost = KNOWN.with_borrow_mut(|known| {
        let outermost = known.is_none();
        known.get_or_insert_default();
        outermost
    });
    Kept { outermost }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.outermost {
            drop(KNOWN.take());
        }
    }
}

/// The plan of a sub-program. Budgets apply to the enclosing program.
pub(crate) fn plan(graph: &Arc<Graph>, options: &Options) -> Result<Arc<Plan>> {
    let key = (Arc::as_ptr(graph).addr(), options.strategy, options.target.limits);
    let known = KNOWN
        .with_borrow(|known| known.as_ref().and_then(|known| known.get(&key)).map(|(_, plan)| plan.clone()));
    if let Some(plan) = known {
        return Ok(plan);
    }
    let options = Options { memory_budget: None, ..options.clone() };
    let plan = Arc::new(nest::level(|| Plan::new(graph, &options))?);
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known {
            known.insert(key, (graph.clone(), plan.clone()));
        }
    });
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use gradus_core::{Builder, DType, Type, Unary};

    use super::*;

    #[test]
    fn a_body_is_planned_once_for_all_candidates() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [3]));
        let y = b.emit1(Unary::Sin, &[x]).unwrap();
        let body = Arc::new(b.finish(vec![y]));
        let options = Options::default();
        let within = Options { memory_budget: Some(crate::Budget::Bytes(1)), ..Options::default() };
        let nested = Options { strategy: Strategy::Plain, ..Options::default() };
        let outer = kept();
        let first = plan(&body, &options).unwrap();
        drop(kept());
        assert!(Arc::ptr_eq(&first, &plan(&body, &within).unwrap()));
        assert!(!Arc::ptr_eq(&first, &plan(&body, &nested).unwrap()));
        drop(outer);
        assert!(!Arc::ptr_eq(&first, &plan(&body, &options).unwrap()));
    }
}
