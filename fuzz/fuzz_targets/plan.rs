//! Any text as a plan: all errors are rendered, and what can be planned is within its ceiling. Nothing is opened.
#![no_main]

use highwater::grammar::parse;
use highwater::plan::{Limits, Plan};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let limits = Limits {
        memory: (*first > 0).then(|| u64::from(*first) << 16),
        ..Limits::default()
    };
    let (script, problems) = parse(text);
    match Plan::new(&script, problems, limits) {
        Ok(plan) => {
            let held = plan.memory.link_bytes() + plan.states().sum::<u64>();
            assert!(held <= plan.memory.limit, "{held} of {}", plan.memory.limit);
        }
        Err(error) => {
            assert!(!error.render(false, None).to_string().is_empty());
            let _ = error.render(true, Some((*first).into())).to_string();
        }
    }
});
