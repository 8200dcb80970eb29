//! The consumer-group APIs: protocol on one side, the coordinator on the other.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::delete_groups::{
    DeleteGroupsRequest, DeleteGroupsResponse, DeletedGroup,
};
use yeoul_kafka_wire::api::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedMember,
};
use yeoul_kafka_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, LeavingMember, LeftMember,
};
use yeoul_kafka_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use yeoul_kafka_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::broker::{Broker, Context};
use crate::group::Caller;

/// The first version in which a new member must come back with the id it was given.
const MEMBER_ID_FROM: i16 = 4;
/// The first version that can tell a returning leader that its assignment stands.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub(crate) async fn join_group(context: Context, request: JoinGroupRequest) -> JoinGroupResponse {
    let caller = Caller {
        client_id: context.client_id.clone(),
        client_host: format!("/{}", context.peer.addr.ip()),
        member_id_required: context.version >= MEMBER_ID_FROM,
        skips_assignment: context.version >= SKIP_ASSIGNMENT_FROM,
    };
    let mut response = context.broker.groups.join(caller, request).await;
    // Older versions cannot say null.
    if context.version < 7 && response.protocol_name.is_none() {
        response.protocol_name = Some(String::new());
    }
    response
}

pub(crate) async fn sync_group(context: Context, request: SyncGroupRequest) -> SyncGroupResponse {
    context.broker.groups.sync(request).await
}

pub(crate) async fn heartbeat(context: Context, request: HeartbeatRequest) -> HeartbeatResponse {
    let error_code = context.broker.groups.heartbeat(&request);
    HeartbeatResponse { error_code, ..HeartbeatResponse::default() }
}

pub(crate) async fn leave_group(
    context: Context,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let groups = &context.broker.groups;
    if context.version < 3 {
        let member = LeavingMember { member_id: request.member_id, ..LeavingMember::default() };
        let error_code = groups.leave(&request.group_id, &member);
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let members = request.members.into_iter().map(|member| LeftMember {
        error_code: groups.leave(&request.group_id, &member),
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
    });
    LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
}

pub(crate) async fn describe_groups(
    context: Context,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = super::once(request.groups, String::clone).into_iter().map(|name| {
        // An unknown group is dead, not an error: so do older brokers, and tools expect it.
        let Some(group) = context.broker.groups.describe(&name) else {
            let group_state = "Dead".to_owned();
            return DescribedGroup { group_id: name, group_state, ..DescribedGroup::default() };
        };
        let members = group.members.into_iter().map(|member| DescribedMember {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            member_metadata: member.metadata,
            member_assignment: member.assignment,
        });
        DescribedGroup {
            group_id: name,
            group_state: group.state.to_owned(),
            protocol_type: group.protocol_type,
            protocol_data: group.protocol,
            members: members.collect(),
            ..DescribedGroup::default()
        }
    });
    DescribeGroupsResponse { groups: groups.collect(), ..DescribeGroupsResponse::default() }
}

pub(crate) async fn list_groups(
    context: Context,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let wanted = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(value))
    };
    let groups = context
        .broker
        .groups
        .list()
        .into_iter()
        .filter(|group| wanted(&request.states_filter, group.state))
        .filter(|_| wanted(&request.types_filter, "classic"))
        .map(|group| ListedGroup {
            group_id: group.name,
            protocol_type: group.protocol_type,
            group_state: group.state.to_owned(),
            group_type: "classic".to_owned(),
        });
    ListGroupsResponse { groups: groups.collect(), ..ListGroupsResponse::default() }
}

pub(crate) async fn delete_groups(
    context: Context,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::new();
    for group_id in request.group_names {
        let error_code = delete_group(&context, &group_id).await.err().unwrap_or_default();
        results.push(DeletedGroup { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

/// With the offsets that open transactions hold for it.
async fn delete_group(context: &Context, group: &str) -> Result<(), ErrorCode> {
    let Broker { groups, transactions, .. } = &*context.broker;
    let deleted = groups.delete(group).await;
    if !matches!(deleted, Ok(()) | Err(ErrorCode::GROUP_ID_NOT_FOUND)) {
        return deleted;
    }
    if !transactions.forget_group(group).await? {
        return deleted;
    }
    // A transaction may have ended between the two and brought offsets back.
    match groups.delete(group).await {
        Err(ErrorCode::GROUP_ID_NOT_FOUND) => Ok(()),
        again => again,
    }
}
