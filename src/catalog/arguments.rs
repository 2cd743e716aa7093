//! The typed, checked arguments of one call.

use std::ops::Range;
use std::time::Duration;

use super::kind::Value;
use super::{Kind, Param, Role, Scheme};
use crate::error::Problem;
use crate::grammar::Throughput;
use crate::stage::Endpoint;

/// One parameter of the call's stage, and its values.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Option<&'static str>,
    /// What was given, in order, or the default.
    pub(super) values: Vec<Value>,
    /// The place of the first value; `None` for a default.
    pub(super) span: Option<Range<usize>>,
}

impl Entry {
    pub(super) fn of(param: &Param) -> Self {
        Self {
            name: param.name,
            kind: param.kind,
            default: param.default,
            values: Vec::new(),
            span: None,
        }
    }
}

/// The arguments of one call, checked against its stage's definition; defaults are filled in.
///
/// A getter panics if the definition has no such parameter, or one of another kind: that is a bug in the stage, which
/// its first test finds.
#[derive(Clone, Debug)]
pub struct Args {
    pub(super) stage: &'static str,
    pub(super) role: Role,
    pub(super) entries: Vec<Entry>,
    pub(super) span: Range<usize>,
    pub(super) text: String,
    pub(super) pipelines: usize,
    /// Bytes.
    pub(super) state_limit: u64,
}

/// A getter for one kind of value: the last one given, or the default.
macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        #[must_use]
        #[track_caller]
        pub fn $name(&self, name: &str) -> Option<$type> {
            self.entry(name).values.last().map(|value| match value {
                Value::$variant(value) => *value,
                other => self.wrong_kind(name, stringify!($variant), other),
            })
        }
    };
}

impl Args {
    getter!(
        /// A size, in bytes.
        size, Size, u64
    );
    getter!(
        /// A rate.
        rate, Rate, Throughput
    );
    getter!(
        /// A duration.
        duration, Duration, Duration
    );
    getter!(
        /// A number, within its parameter's bounds.
        integer, Integer, i64
    );
    getter!(
        /// One of the parameter's words.
        choice, Choice, &'static str
    );

    /// Whether a flag is set; without a value or a default it is not.
    #[must_use]
    #[track_caller]
    pub fn flag(&self, name: &str) -> bool {
        self.entry(name).values.last().is_some_and(|value| match value {
            Value::Flag(value) => *value,
            other => self.wrong_kind(name, "Flag", other),
        })
    }

    /// A text.
    #[must_use]
    #[track_caller]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).pop()
    }

    /// All texts given, in order.
    #[must_use]
    #[track_caller]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let values = self.entry(name).values.iter();
        values
            .map(|value| match value {
                Value::Text(value) => value.as_str(),
                other => self.wrong_kind(name, "Text", other),
            })
            .collect()
    }

    /// All endpoints given, in order. None of them is empty.
    #[must_use]
    #[track_caller]
    pub fn endpoints(&self, name: &str) -> Vec<&[u8]> {
        let values = self.entry(name).values.iter();
        values
            .map(|value| match value {
                Value::Endpoint(value) => value.as_slice(),
                other => self.wrong_kind(name, "Endpoint", other),
            })
            .collect()
    }

    /// All words given, in order, unchanged.
    #[must_use]
    #[track_caller]
    pub fn words(&self, name: &str) -> Vec<&[u8]> {
        let values = self.entry(name).values.iter();
        values
            .map(|value| match value {
                Value::Bytes(value) => value.as_slice(),
                other => self.wrong_kind(name, "Bytes", other),
            })
            .collect()
    }

    /// The last endpoint given.
    #[must_use]
    #[track_caller]
    pub fn endpoint(&self, name: &str) -> Option<&[u8]> {
        self.endpoints(name).pop()
    }

    /// The given endpoints, in order.
    ///
    /// # Errors
    /// The problem of the first invalid one.
    ///
    /// # Panics
    /// As the getters do.
    #[track_caller]
    pub fn places(&self, name: &str) -> Result<Vec<Box<dyn Endpoint>>, Problem> {
        let Kind::Endpoint(schemes) = self.entry(name).kind else {
            panic!("parameter `{name}` of stage `{}` is not an endpoint", self.stage)
        };
        let place = |endpoint: &[u8]| {
            let (scheme, rest) = Scheme::find(schemes, endpoint).map_err(|wrong| wrong.of(self))?;
            let access = scheme.access(self.role).expect("checked with the parameters");
            (access.place)(rest, self)
        };
        self.endpoints(name).into_iter().map(place).collect()
    }

    /// The endpoint of a required parameter.
    ///
    /// # Errors
    /// If it is invalid.
    #[track_caller]
    pub fn required_place(&self, name: &str) -> Result<Box<dyn Endpoint>, Problem> {
        let place = self.places(name)?.pop();
        Ok(self.required(name, place))
    }

    /// Whether one of the given endpoints supports the parameter.
    #[must_use]
    pub fn supports(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// The default values of parameters that are not given: `level=6`.
    #[must_use]
    pub fn defaults(&self) -> Vec<String> {
        let unsaid = self.entries.iter().filter(|entry| entry.span.is_none());
        let defaults = unsaid.filter_map(|entry| Some(format!("{}={}", entry.name, entry.default?)));
        defaults.collect()
    }

    /// The size of a required parameter, in bytes.
    #[must_use]
    #[track_caller]
    pub fn required_size(&self, name: &str) -> u64 {
        self.required(name, self.size(name))
    }

    /// The rate of a required parameter.
    #[must_use]
    #[track_caller]
    pub fn required_rate(&self, name: &str) -> Throughput {
        self.required(name, self.rate(name))
    }

    /// The high-water mark of the link behind this stage, in bytes, if it was given.
    ///
    /// Panics for a sink, as the getters do.
    #[must_use]
    #[track_caller]
    pub fn high(&self) -> Option<u64> {
        self.size("high")
    }

    /// The low-water mark of that link, in bytes, if it was given.
    ///
    /// Panics for a sink, as the getters do.
    #[must_use]
    #[track_caller]
    pub fn low(&self) -> Option<u64> {
        self.size("low")
    }

    /// The high-water and the low-water mark of that link in records, if they were given.
    ///
    /// Panics for a sink, as the getters do.
    #[must_use]
    #[track_caller]
    pub fn record_marks(&self) -> Option<(u64, u64)> {
        let count = |name| self.integer(name).and_then(|count| u64::try_from(count).ok());
        let high = count("high-records")?;
        Some((high, count("low-records").unwrap_or(high / 2)))
    }

    /// Bytes of memory that the stage may hold besides its links if its parameters leave that open.
    #[must_use]
    pub fn state_limit(&self) -> u64 {
        self.state_limit
    }

    /// Sets that limit; by default there is none.
    pub fn limit_state(&mut self, bytes: u64) {
        self.state_limit = bytes;
    }

    /// The number of given pipelines.
    #[must_use]
    pub fn pipelines(&self) -> usize {
        self.pipelines
    }

    /// Whether the user wrote it, as opposed to a default or no value.
    #[must_use]
    #[track_caller]
    pub fn is_given(&self, name: &str) -> bool {
        self.entry(name).span.is_some()
    }

    /// The place of the (first) value, or of the whole call if there is none.
    #[must_use]
    #[track_caller]
    pub fn span_of(&self, name: &str) -> Range<usize> {
        let span = self.entry(name).span.as_ref();
        span.unwrap_or(&self.span).clone()
    }

    /// The whole call, in bytes of the script's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The call as the user wrote it, with single spaces and only the quotes it needs: `throttle 1MB/s`. The pipelines
    /// in it are left out, because their stages have texts of their own. For output: control characters and bytes that
    /// are not UTF-8 are escaped.
    #[must_use]
    pub fn normalised(&self) -> &str {
        &self.text
    }

    #[track_caller]
    fn entry(&self, name: &str) -> &Entry {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        entry.unwrap_or_else(|| panic!("stage `{}` has no parameter `{name}`", self.stage))
    }

    #[track_caller]
    fn required<T>(&self, name: &str, value: Option<T>) -> T {
        let stage = self.stage;
        value.unwrap_or_else(|| panic!("parameter `{name}` of stage `{stage}` is neither required nor has a default"))
    }

    #[track_caller]
    fn wrong_kind(&self, name: &str, wanted: &str, value: &Value) -> ! {
        let stage = self.stage;
        panic!("parameter `{name}` of stage `{stage}` is not {wanted}: {value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::args;
    use crate::grammar::Throughput;
    use std::time::Duration;

    #[test]
    fn values_are_typed() {
        let args = args("sum 64K rate=1MB/s wait=5s label='a b' quiet=yes level=9 algo=crc32 high=2M low=1M");
        assert_eq!(args.size("size"), Some(65536));
        assert_eq!(args.required_size("size"), 65536);
        assert_eq!(args.rate("rate"), Some(Throughput::Bytes(1_000_000)));
        assert_eq!(args.duration("wait"), Some(Duration::from_secs(5)));
        assert_eq!(args.text("label"), Some("a b"));
        assert!(args.flag("quiet"));
        assert_eq!(args.integer("level"), Some(9));
        assert_eq!(args.choice("algo"), Some("crc32"));
        assert_eq!((args.high(), args.low()), (Some(2 << 20), Some(1 << 20)));
    }

    #[test]
    fn defaults_count_but_were_not_given() {
        let args = args("sum 1");
        assert_eq!(args.choice("algo"), Some("sha256"));
        assert!(!args.is_given("algo") && args.is_given("size"));
        assert_eq!(
            (args.integer("level"), args.flag("quiet"), args.high()),
            (None, false, None)
        );
    }

    #[test]
    fn many_words_come_in_order() {
        let args = args("read a path=b ./c=d");
        assert_eq!(args.endpoints("path"), [b"a".as_slice(), b"b", b"./c=d"]);
    }

    #[test]
    fn spans_fall_back_to_the_call() {
        let args = args("  sum 1 level=3 ");
        assert_eq!(args.span_of("level"), 14..15);
        assert_eq!(args.span_of("algo"), 2..15);
        assert_eq!(args.span(), 2..15);
    }

    #[test]
    fn the_text_is_normalised() {
        assert_eq!(
            args(r#"sum   "1"  label="a b"  algo='crc32'"#).normalised(),
            "sum 1 label='a b' algo=crc32"
        );
        assert_eq!(args("read 'a=b' 'x\ny' c").normalised(), r"read 'a=b' 'x\ny' c");
    }

    #[test]
    #[should_panic = "stage `sum` has no parameter `sise`"]
    fn an_undeclared_name_is_a_bug() {
        let _ = args("sum 1").size("sise");
    }

    #[test]
    #[should_panic = "parameter `size` of stage `sum` is not Rate: Size(1)"]
    fn another_kind_is_a_bug() {
        let _ = args("sum 1").rate("size");
    }

    #[test]
    #[should_panic = "stage `write` has no parameter `high`"]
    fn a_sink_has_no_marks() {
        let _ = args("write a").high();
    }
}
