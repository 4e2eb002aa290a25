//! Whether SNS would take events: it is asked for the attributes of each topic, with a signature.

use super::answer::described;
use super::{SnsBackend, SnsSettings, form};
use crate::fate::Failure;
use crate::probe::Finding;

/// Asks for the topics of the settings, one after the other. Nothing is published.
pub(crate) async fn probe(settings: SnsSettings) -> Vec<Finding> {
    let topics = settings.topics.clone();
    let backend = SnsBackend::new(settings);
    let mut findings = Vec::with_capacity(topics.len() + 1);
    for topic in &topics {
        match backend.probe_topic(topic).await {
            Ok(finding) => findings.push(finding),
            // It is the same for the others, and each would take its time.
            Err(failure) => {
                findings.push(Finding::Broken(failure.to_string().into()));
                break;
            }
        }
    }
    if topics.is_empty() {
        findings.push(Finding::Unsure("no topic is configured, so nothing is sent there".into()));
    }
    findings.extend(clock(backend.clock.ahead()));
    findings
}

/// Signatures are corrected by it, but the clock should be mended.
fn clock(ahead: i64) -> Option<Finding> {
    (ahead != 0).then(|| {
        let way = if ahead > 0 { "slow" } else { "fast" };
        let text = format!("the clock of this machine is {} s {way}", ahead.unsigned_abs());
        Finding::Unsure(text.into())
    })
}

// === impl SnsBackend ===

impl SnsBackend {
    /// Fails if there is no answer.
    async fn probe_topic(&self, topic: &str) -> Result<Finding, Failure> {
        let answer = self.request(form::topic_attributes(topic), described).await?;
        Ok(match answer {
            Ok(()) => Finding::Works(format!("{topic} is there, and the key is right").into()),
            // Whoever is refused by a policy has been recognised.
            Err(answer) if answer.is_forbidden() => Finding::Unsure(
                format!(
                    "the key is right, but may not do sns:GetTopicAttributes: whether {topic} is \
                     there, and takes events, shows with the first one"
                )
                .into(),
            ),
            Err(answer) => Finding::Broken(answer.into_failure(topic).to_string().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_with_its_direction() {
        assert_eq!(clock(0), None);
        let told = |ahead| match clock(ahead) {
            Some(Finding::Unsure(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(600), "the clock of this machine is 600 s slow");
        assert_eq!(told(-600), "the clock of this machine is 600 s fast");
    }
}
