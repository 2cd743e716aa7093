//! The durable consumer that a stream is read through.

use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, Config, Info, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;

use crate::error::{Failure, Kind};

use super::server::matches;

/// What the user said of a consumer.
pub struct Consumer {
    pub name: String,
    pub filter: Option<String>,
    pub ack_wait: Option<Duration>,
    pub max_deliver: Option<i64>,
}

/// What the server keeps to for a consumer.
pub struct Found {
    /// After how long without a sign of life it delivers again.
    pub ack_wait: Duration,
    /// The most deliveries to all readers together that are not acknowledged.
    pub most: Option<usize>,
    /// When it was made.
    pub created: DateTime,
    pub request: RequestLimits,
    /// The subjects that it delivers; empty for all of the stream.
    filter: String,
}

/// What one request for messages may ask for.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    pub messages: usize,
    pub bytes: usize,
    pub expires: Duration,
}

impl RequestLimits {
    /// Those of a consumer, for which 0 is none.
    fn of(config: &Config) -> Self {
        let limit = |number: i64| {
            usize::try_from(number)
                .ok()
                .filter(|limit| *limit > 0)
                .unwrap_or(usize::MAX)
        };
        Self {
            messages: limit(config.max_batch),
            bytes: limit(config.max_bytes),
            expires: Some(config.max_expires)
                .filter(|time| !time.is_zero())
                .unwrap_or(Duration::MAX),
        }
    }
}

impl Found {
    /// Refuses a subject for bad messages that the consumer would deliver again, without an end.
    pub async fn check_reject(&self, context: &Context, stream: &str, subject: &str) -> Result<(), Failure> {
        // Who may not ask for the stream learns it from the messages that come.
        let Ok(of_stream) = context.get_stream(stream).await else {
            return Ok(());
        };
        let patterns = &of_stream.cached_info().config.subjects;
        let is_in_stream = patterns.iter().any(|pattern| matches(pattern, subject));
        if is_in_stream && (self.filter.is_empty() || matches(&self.filter, subject)) {
            let why = "the consumer would deliver it again, without an end";
            return Err(Failure::because(
                Kind::Usage,
                format!("cannot publish bad messages to {subject}"),
                why,
            ));
        }
        Ok(())
    }
}

impl Consumer {
    /// Finds it, or makes it.
    pub async fn find(&self, context: &Context, stream: &str) -> Result<Found, Failure> {
        let operation = || format!("cannot use the consumer {} of {stream}", self.name);
        let failed = |error: &dyn std::error::Error| Failure::because(Kind::Source, operation(), with_sources(error));
        let of_stream = context
            .get_stream_no_info(stream)
            .await
            .map_err(|error| failed(&error))?;
        let info: Info = match of_stream.consumer_info(&self.name).await {
            Ok(info) => info,
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
                let made = of_stream.create_consumer(self.configuration()).await;
                made.map_err(|error| failed(&error))?.cached_info().clone()
            }
            Err(error) => return Err(failed(&error)),
        };
        if let Some(why) = self.differs(&info.config) {
            return Err(Failure::because(Kind::Usage, operation(), why));
        }
        let waits = info.config.backoff.iter().copied();
        Ok(Found {
            ack_wait: waits.min().unwrap_or(info.config.ack_wait),
            most: usize::try_from(info.config.max_ack_pending)
                .ok()
                .filter(|most| *most > 0),
            created: info.created,
            request: RequestLimits::of(&info.config),
            filter: info.config.filter_subject,
        })
    }

    fn configuration(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait.unwrap_or_default(),
            max_deliver: self.max_deliver.unwrap_or_default(),
            filter_subject: self.filter.clone().unwrap_or_default(),
            // Each reader has a bound of its own.
            max_ack_pending: -1,
            ..pull::Config::default()
        }
    }

    /// Why a consumer of that name is not the one that was asked for.
    fn differs(&self, config: &Config) -> Option<String> {
        let different = |name: &str, has: String, given: String| {
            Some(format!("it exists with {name}={has}, and {name}={given} was given"))
        };
        if config.deliver_subject.is_some() {
            return Some("it is a push consumer; messages are only pulled".to_owned());
        }
        if config.ack_policy != AckPolicy::Explicit {
            return Some("its messages are not acknowledged one by one (ack policy explicit)".to_owned());
        }
        if config.headers_only {
            return Some("it delivers headers only".to_owned());
        }
        match &self.filter {
            Some(filter) if *filter != config.filter_subject => {
                return different("filter", config.filter_subject.clone(), filter.clone());
            }
            _ => {}
        }
        if let Some(given) = self.ack_wait.filter(|given| *given != config.ack_wait) {
            let shown = |time| humantime::format_duration(time).to_string();
            return different("ack-wait", shown(config.ack_wait), shown(given));
        }
        if let Some(given) = self.max_deliver.filter(|given| *given != config.max_deliver) {
            return different("max-deliver", config.max_deliver.to_string(), given.to_string());
        }
        None
    }
}

/// An error and what caused it; the library's own texts often leave that out.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
