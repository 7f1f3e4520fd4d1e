//! The op table: no cell fails, none is empty, no primitive is missing.

use gradus_core::table::{CellKind, Options, Status, check, rows};

#[test]
fn every_cell_passes() {
    let cells = check(&Options::default());
    let bad: Vec<String> = cells
        .iter()
        .filter(|c| matches!(c.status, Status::Failed | Status::Empty))
        .map(|c| {
            format!(
                "{} {} {}: {:e} > {:e}, {}",
                c.op,
                c.kind,
                c.status.name(),
                c.worst_error,
                c.tolerance,
                c.note
            )
        })
        .collect();
    assert!(bad.is_empty(), "{} of {} cells:\n{}", bad.len(), cells.len(), bad.join("\n"));
    for kind in CellKind::ALL {
        let of_kind = || cells.iter().filter(|c| c.kind == kind && c.status == Status::Passed);
        let worst = of_kind().max_by(|a, b| a.worst_error.total_cmp(&b.worst_error));
        if let Some(c) = worst {
            println!(
                "{kind:<10} {:>4} passed, worst {:.2e} ({}: {})",
                of_kind().count(),
                c.worst_error,
                c.op,
                c.note
            );
        }
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let mut names: Vec<String> = rows().into_iter().map(|r| r.name).collect();
    names.sort();
    assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
    assert!(names.len() > 85, "{}", names.len());
}
