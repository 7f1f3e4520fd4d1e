//! The explanation as one self-contained HTML page.

use std::fmt::Write;

use super::picture::{colour, escape};
use super::{Explanation, by_phase, mib, time};

const STYLE: &str = "\
:root{--ink:#1f2933;--soft:#5f6b76;--line:#dfe4e8;--back:#ffffff;--card:#f5f7f9;--mark:#fff3d6}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5b1;--line:#35404a;--back:#14181c;--card:#1d2329;--mark:#3b3215}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:28px 24px 60px;background:var(--back);color:var(--ink);\
font:14px/1.45 system-ui,sans-serif}h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:34px 0 10px}\
p{margin:6px 0;max-width:75em}.soft{color:var(--soft)}\
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0}.tile{background:var(--card);border-radius:8px;padding:10px 14px;min-width:118px}\
.tile b{display:block;font-size:18px;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:12px}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}\
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);padding:4px 10px 4px 0;white-space:nowrap}\
td{border-bottom:1px solid var(--line);padding:3px 10px 3px 0;vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.code{font-family:ui-monospace,monospace;font-size:12px}\
.dot{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:6px}\
.bar{height:9px;border-radius:2px;min-width:1px;margin-top:5px}.taken td{background:var(--mark)}\
.b{width:15%;min-width:90px}svg{width:100%;height:auto;display:block}";

impl Explanation<'_> {
    /// The explanation as an HTML page: tiles, passes, the plans considered, the curve of memory, tables of kernels and of
    /// what is kept.
    pub fn page(&self) -> String {
        let title = if self.title.is_empty() { "A plan" } else { &self.title };
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
            escape(title)
        );
        // Writing into a string cannot fail.
        self.write_page(&mut out).unwrap_or_default();
        out + "</body></html>\n"
    }

    fn write_page(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        if !self.mode.is_empty() {
            writeln!(out, "<p class=\"soft\">{}</p>", escape(&self.mode))?;
        }
        let flops: f64 = plan.kernels().iter().map(|k| k.flops).sum();
        let bytes: f64 = plan.kernels().iter().map(|k| k.bytes).sum();
        let mut tiles = vec![
            ("peak of the step", mib(self.peak())),
            ("arena", mib(plan.arena_bytes())),
            ("kept for the backward pass", mib(plan.saved_bytes())),
            ("kernels", plan.kernels().len().to_string()),
            ("work", format!("{:.3} GFLOP", flops * 1e-9)),
            ("moved", format!("{:.1} MB", bytes * 1e-6)),
            ("estimated", time(plan.estimated_seconds())),
        ];
        if let Some(measured) = &self.measured {
            tiles.push(("measured", time(measured.iter().sum())));
        }
        out.push_str("<div class=\"tiles\">");
        for (name, value) in tiles {
            write!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>")?;
        }
        out.push_str("</div>\n");

        writeln!(out, "<h2>Memory over the step</h2>\n{}", self.inline_svg())?;
        self.write_peak(out)?;
        self.write_choice(out)?;
        self.write_passes(out)?;
        self.write_kernel_table(out)?;
        self.write_residual_table(out)
    }

    fn write_peak(&self, out: &mut String) -> std::fmt::Result {
        let (k, top) = self.top();
        if top == 0 {
            return Ok(());
        }
        let alive = self.plan.alive_at(k);
        writeln!(
            out,
            "<h2>What is alive at the peak</h2>\n<p class=\"soft\">During kernel {k}, {}; the {} largest of {}.</p>",
            escape(&self.plan.operations(k)),
            alive.len().min(20),
            alive.len()
        )?;
        out.push_str(
            "<div class=\"wide\"><table><tr><th class=\"n\">bytes</th><th></th><th>value</th></tr>\n",
        );
        let largest = alive.first().map_or(1, |a| a.1.max(1));
        for (v, bytes) in alive.into_iter().take(20) {
            writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td class=\"b\">{}</td><td class=\"code\">{}</td></tr>",
                mib(bytes),
                bar(bytes as f64 / largest as f64, "#9aa3ad"),
                escape(&self.plan.described(v))
            )?;
        }
        out.push_str("</table></div>\n");
        Ok(())
    }

    fn write_choice(&self, out: &mut String) -> std::fmt::Result {
        let decision = self.plan.decision();
        writeln!(
            out,
            "<h2>What is kept, and why</h2>\n<p><b>{}</b>: {}</p>",
            format!("{:?}", decision.strategy).to_lowercase(),
            escape(&decision.why)
        )?;
        if self.alternatives.is_empty() {
            return Ok(());
        }
        out.push_str(
            "<div class=\"wide\"><table><tr><th>plan</th><th class=\"n\">kept</th><th class=\"n\">peak</th><th></th>\
             <th class=\"n\">estimated</th><th></th></tr>\n",
        );
        let peak = self.alternatives.iter().map(|a| a.peak).max().unwrap_or(1).max(1) as f64;
        let slowest = self.alternatives.iter().map(|a| a.seconds).fold(f64::MIN_POSITIVE, f64::max);
        for a in &self.alternatives {
            writeln!(
                out,
                "<tr{}><td>{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"b\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"b\">{}</td></tr>",
                if a.taken { " class=\"taken\"" } else { "" },
                escape(&a.name),
                if a.taken { " (taken)" } else { "" },
                a.saved.map_or("–".into(), mib),
                mib(a.peak),
                bar(a.peak as f64 / peak, "#5a9e6f"),
                time(a.seconds),
                bar(a.seconds / slowest, "#c08a3e")
            )?;
        }
        out.push_str("</table></div>\n");
        Ok(())
    }

    fn write_passes(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("<h2>Passes</h2>\n<div class=\"wide\"><table>\n");
        for (name, what) in self.passes() {
            writeln!(out, "<tr><td><b>{name}</b></td><td>{}</td></tr>", escape(&what))?;
        }
        out.push_str("</table></div>\n");
        Ok(())
    }

    fn write_kernel_table(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        let phases = plan.phases();
        out.push_str("<h2>Kernels</h2>\n<p class=\"soft\">");
        for (phase, kernels, estimated, measured) in by_phase(self) {
            let measured = measured.map_or(String::new(), |s| format!(", measured {}", time(s)));
            write!(
                out,
                "<span class=\"dot\" style=\"background:{}\"></span>{phase}: {kernels} kernels, estimated {}{measured} &nbsp; ",
                colour(phase),
                time(estimated)
            )?;
        }
        let (head, shown) = match &self.measured {
            Some(_) => ("<th class=\"n\">measured</th>", "measured"),
            None => ("", "estimated"),
        };
        write!(
            out,
            "</p>\n<div class=\"wide\"><table><tr><th class=\"n\">#</th><th>kind</th><th>sizes</th><th>operations</th>\
             <th class=\"n\">MFLOP</th><th class=\"n\">bytes</th><th class=\"n\">estimated</th>{head}<th>{shown}</th>\
             <th>source</th></tr>\n"
        )?;
        let seconds = |k: usize| self.measured(k).unwrap_or_else(|| plan.kernel_seconds(k));
        let slowest = (0..plan.kernels().len()).map(seconds).fold(f64::MIN_POSITIVE, f64::max);
        for (k, kernel) in plan.kernels().iter().enumerate() {
            let measured =
                self.measured(k).map_or(String::new(), |s| format!("<td class=\"n\">{}</td>", time(s)));
            let over: String = plan
                .overwritten(k)
                .map(|o| format!("<br><span class=\"soft\">{}</span>", escape(&o)))
                .collect();
            writeln!(
                out,
                "<tr><td class=\"n\">{k}</td><td><span class=\"dot\" style=\"background:{}\" title=\"{}\"></span>{}</td>\
                 <td class=\"code\">{}</td><td class=\"code\">{}{over}</td><td class=\"n\">{:.3}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td>{measured}<td class=\"b\">{}</td><td class=\"code\">{}</td></tr>",
                colour(phases[k]),
                phases[k],
                kernel.kind(),
                escape(&plan.shape_of(k)),
                escape(&plan.operations(k)),
                kernel.flops * 1e-6,
                mib(kernel.bytes as usize),
                time(plan.kernel_seconds(k)),
                bar(seconds(k) / slowest, colour(phases[k])),
                escape(&kernel.site.to_string())
            )?;
        }
        out.push_str("</table></div>\n");
        Ok(())
    }

    fn write_residual_table(&self, out: &mut String) -> std::fmt::Result {
        let residuals = self.plan.residuals();
        if residuals.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "<h2>Kept for the backward pass</h2>\n<p class=\"soft\">{} in {} values.</p>\n<div class=\"wide\"><table>\
             <tr><th class=\"n\">bytes</th><th>type</th><th>made by</th><th>why it is kept</th><th>source</th></tr>",
            mib(self.plan.saved_bytes()),
            residuals.len()
        )?;
        for r in &residuals {
            writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td class=\"code\">{}</td><td class=\"code\">{}</td><td>{}</td>\
                 <td class=\"code\">{}</td></tr>",
                mib(r.bytes),
                escape(&r.ty.to_string()),
                escape(r.op),
                escape(r.why),
                escape(&r.site.to_string())
            )?;
        }
        out.push_str("</table></div>\n");
        Ok(())
    }
}

/// A bar of a share of its cell.
fn bar(share: f64, colour: &str) -> String {
    let percent = (100.0 * share).clamp(0.0, 100.0);
    format!("<div class=\"bar\" style=\"width:{percent:.1}%;background:{colour}\"></div>")
}
