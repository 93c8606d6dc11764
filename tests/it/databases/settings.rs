//! `pgbouncer.set`: promise 2 (nothing is repeated, nothing lost) and promise 3 (what was there is put back), on every instance.

use runsheet::model::intent::Intent;
use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use super::{Place, on_both};
use crate::support::{Cut, Step};

const NAME: &str = "default_pool_size";

fn step(place: &Place) -> Step {
    place.step("pgbouncer.set", json!({ "pooler": place.pooler(), "settings": { NAME: 30 } }))
}

async fn sizes(place: &Place) -> [String; 2] {
    [place.setting(0, NAME).await, place.setting(1, NAME).await]
}

fn applied(applied: &Applied) -> &Value {
    match applied {
        Applied::Applied { outputs } => outputs,
        other => panic!("{other:?}"),
    }
}

async fn live(step: &Step, intent: &Intent) -> Vec<Option<Value>> {
    step.action.live(&step.cx, intent).await.expect("the live values")
}

async fn a_setting_is_changed_on_every_instance_and_each_gets_its_own_back(place: Place) {
    let doing = step(&place);
    let intent = doing.intent().await;
    let priors: Vec<&Value> = intent.changes.iter().map(|change| &change.prior).collect();
    assert_eq!(priors, ["20", "25"], "each instance has its own: {:?}", intent.changes);
    assert!(intent.note["says"].as_str().unwrap().contains("RELOAD"), "{}", intent.note);
    assert!(
        intent.by_hand[0].ends_with("-c 'SET default_pool_size = 30'")
            && intent.undo_by_hand[1].ends_with("-c 'SET default_pool_size = 25'"),
        "{intent:?}"
    );
    assert_eq!(sizes(&place).await, ["20", "25"], "promise 7: a plan has no effect");
    assert_eq!(doing.verify(&intent).await, Verdict::Absent);
    for _ in 0..2 {
        let done = doing.apply(&intent).await;
        assert_eq!(applied(&done)["everywhere"], true, "{done:?}");
        assert_eq!(sizes(&place).await, ["30", "30"]);
        assert_eq!(live(&doing, &intent).await, [Some(json!("30")), Some(json!("30"))]);
        assert!(matches!(doing.verify(&intent).await, Verdict::Present { .. }));
    }
    let again = step(&place).try_plan().await.unwrap();
    assert!(again.unchanged.is_some() && again.intent.changes.is_empty(), "{:?}", again.intent);
    for _ in 0..2 {
        applied(&doing.revert(&intent).await);
        assert_eq!(sizes(&place).await, ["20", "25"], "each has its own former value");
    }
    // A RELOAD has undone it: what there is to give back is there.
    applied(&doing.apply(&intent).await);
    for at in 0..2 {
        place.console(at).await.simple_query("RELOAD").await.unwrap();
    }
    assert_eq!(sizes(&place).await, ["20", "25"]);
    applied(&doing.revert(&intent).await);
    assert_eq!(sizes(&place).await, ["20", "25"]);
}

async fn somebody_elses_setting_is_left_alone(place: Place) {
    let doing = step(&place);
    let intent = doing.intent().await;
    place.console(1).await.simple_query("SET default_pool_size = 7").await.unwrap();
    let refused = doing.apply(&intent).await;
    let Applied::NotApplied { failure } = refused else { panic!("{refused:?}") };
    assert!(failure.message.contains("is 7: somebody else changed it from 25 meanwhile"), "{failure}");
    assert_eq!(sizes(&place).await, ["20", "7"], "the other instance was not begun with");
    assert!(matches!(doing.verify(&intent).await, Verdict::CannotTell { .. }));
    let refused = doing.revert(&intent).await;
    assert!(matches!(refused, Applied::NotApplied { .. }), "{refused:?}");
    assert_eq!(sizes(&place).await, ["20", "7"]);
}

async fn what_is_lost_on_the_way_is_looked_up_and_what_is_done_in_part_is_seen(place: Place) {
    let doing = step(&place);
    let intent = doing.intent().await;
    place.wires[0].cut("SET default_pool_size", Cut::Before);
    let lost = doing.apply(&intent).await;
    assert!(matches!(lost, Applied::Unknown { .. }), "{lost:?}");
    assert_eq!((doing.verify(&intent).await, sizes(&place).await), (Verdict::Absent, ["20".to_owned(), "25".to_owned()]));

    place.wires[0].cut("SET default_pool_size", Cut::After);
    let lost = doing.apply(&intent).await;
    assert!(matches!(lost, Applied::Unknown { .. }), "{lost:?}");
    assert_eq!(sizes(&place).await, ["30", "25"]);
    let Verdict::CannotTell { reason } = doing.verify(&intent).await else { panic!("it is done in part") };
    assert!(reason.starts_with("it was done in part: set are default_pool_size at "), "{reason}");

    // An idempotent action is simply done again, and sends what is missing.
    place.wires[1].cut("SET default_pool_size", Cut::After);
    let lost = doing.apply(&intent).await;
    assert!(matches!(lost, Applied::Unknown { .. }), "{lost:?}");
    assert!(matches!(doing.verify(&intent).await, Verdict::Present { .. }));
    place.wires[0].cut("SET default_pool_size", Cut::After);
    let lost = doing.revert(&intent).await;
    assert!(matches!(lost, Applied::Unknown { .. }), "{lost:?}");
    assert_eq!(live(&doing, &intent).await, [Some(json!("20")), Some(json!("30"))]);
    applied(&doing.revert(&intent).await);
    assert_eq!(sizes(&place).await, ["20", "25"]);
}

async fn what_it_does_not_take_is_found_before_anything_is_sent(place: Place) {
    let failure = async |settings: Value| {
        let inputs = json!({ "pooler": place.pooler(), "settings": settings });
        place.step("pgbouncer.set", inputs).failure().await
    };
    assert!(failure(json!({ "no_such_setting": 1 })).await.message.ends_with("has no setting no_such_setting"));
    for (settings, text) in [
        (json!({}), "`settings` names none"),
        (json!({ "auth_type": "any" }), "does not change `auth_type`"),
        (json!({ "admin_users": "me" }), "does not change `admin_users`"),
        (json!({ "a b": 1 }), "is not the name of a setting"),
        (json!({ "default_pool_size": "1\n2" }), "in no setting"),
    ] {
        let failure = failure(settings.clone()).await;
        assert!(failure.message.contains(text), "{settings}: {failure}");
    }
    let refused = failure(json!({ "default_pool_size": "many" })).await;
    assert!(
        refused.message.starts_with("default_pool_size was not set to many: PgBouncer at ") && refused.message.contains("SET failed"),
        "{refused}"
    );
    assert_eq!(sizes(&place).await, ["20", "25"]);
}

on_both!(
    real_pgbouncer, super::super::Real::Pooled;
    a_setting_is_changed_on_every_instance_and_each_gets_its_own_back,
    somebody_elses_setting_is_left_alone,
    what_is_lost_on_the_way_is_looked_up_and_what_is_done_in_part_is_seen,
    what_it_does_not_take_is_found_before_anything_is_sent,
);
