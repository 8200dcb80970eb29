// What the node says over HTTP and the WebSocket, field by field as `/api/v1` sends it.
// Hand-written for now; it will be generated from the Rust types.
// Invariant: only names the server sends; nothing derived lives here.

/** A column of a topic's schema, a table or a result. */
export interface Column {
  readonly name: string;
  /** bool int double string timestamp date json binary array<…> struct<…> */
  readonly type: string;
}

export interface Info {
  readonly version: string;
  readonly name: string;
  /** IANA zone that days and local-time functions use, e.g. Asia/Seoul. */
  readonly timezone: string;
  readonly started_ms: number;
  readonly kafka: readonly string[];
  readonly data_dir: string;
}

export type NodeKind = 'source' | 'topic' | 'stream' | 'table' | 'lookup' | 'dead';
export type NodeState = 'running' | 'waiting' | 'catching_up' | 'failed' | 'stopped';

/** One part of the way of the data. Counts are records since the component was made. */
export interface FlowNode {
  readonly id: string;
  readonly kind: NodeKind;
  readonly name: string;
  readonly state: NodeState;
  readonly message: string | null;
  readonly in_total: number;
  readonly out_total: number;
  readonly dead_total: number;
  readonly filtered_total: number;
  readonly lag: number;
  readonly bytes: number;
  /** Records per second over about the last two seconds. */
  readonly rate_in: number;
  readonly rate_out: number;
  readonly watermark_ms: number | null;
  readonly last_ms: number | null;
}

export interface FlowEdge {
  readonly from: string;
  readonly to: string;
  readonly total: number;
  readonly lag: number;
  readonly rate: number;
}

export interface Flow {
  readonly at_ms: number;
  readonly nodes: readonly FlowNode[];
  readonly edges: readonly FlowEdge[];
}

/** Whole changed nodes and edges; what is gone is named by id. */
export interface FlowDelta {
  readonly at_ms?: number;
  readonly nodes?: readonly FlowNode[];
  readonly edges?: readonly FlowEdge[];
  readonly removed_nodes?: readonly string[];
  readonly removed_edges?: readonly { readonly from: string; readonly to: string }[];
}

export interface Topic {
  readonly name: string;
  readonly partitions: number;
  readonly records: number;
  readonly bytes: number;
  readonly start_offsets: readonly number[];
  readonly end_offsets: readonly number[];
  readonly schema: readonly Column[] | null;
  readonly internal: boolean;
  readonly config: Readonly<Record<string, string>>;
}

export interface KafkaRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp_ms: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly encoding: 'utf8' | 'base64';
  readonly headers: readonly (readonly [string, string | null])[];
}

export interface Records {
  readonly records: readonly KafkaRecord[];
  /** In a tail's frames: records left out before these because too many came at once. */
  readonly skipped?: number;
}

export interface Table {
  readonly name: string;
  readonly topic: string;
  readonly rows: number;
  readonly bytes: number;
  readonly segments: number;
  readonly columns: readonly Column[];
  readonly time_column: string | null;
  readonly min_ms: number | null;
  readonly max_ms: number | null;
  readonly state: NodeState;
  readonly lag: number;
}

export type Cell = string | number | boolean | null | readonly unknown[] | { readonly [k: string]: unknown };

export interface SqlResult {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  readonly elapsed_ms: number;
  readonly truncated: boolean;
}

export interface ApiErrorBody {
  readonly message: string;
  readonly line?: number | null;
  readonly column?: number | null;
  readonly hint?: string | null;
}

export interface DeadTopic {
  readonly topic: string;
  readonly component: string;
  readonly records: number;
}

/** What a tab may subscribe to on `/api/v1/live`. */
export type LiveRequest =
  | { readonly kind: 'flow' }
  | { readonly kind: 'tail'; readonly topic: string; readonly limit: number }
  | { readonly kind: 'query'; readonly sql: string };

export type ServerFrame =
  | { readonly type: 'beat'; readonly now_ms: number }
  | { readonly type: 'snapshot' | 'delta'; readonly id: number; readonly seq: number; readonly data: unknown }
  | ({ readonly type: 'error'; readonly id?: number; readonly seq?: number } & ApiErrorBody);
