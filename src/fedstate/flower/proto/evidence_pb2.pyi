from fedstate.flower.proto import exchange_pb2 as _exchange_pb2
from fedstate.witness import witness_pb2 as _witness_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvidenceRequest(_message.Message):
    __slots__ = ("run_ids", "ask_nodes", "seconds", "columns")
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ASK_NODES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    run_ids: _containers.RepeatedScalarFieldContainer[int]
    ask_nodes: bool
    seconds: float
    columns: bool
    def __init__(self, run_ids: _Optional[_Iterable[int]] = ..., ask_nodes: bool = ..., seconds: _Optional[float] = ..., columns: bool = ...) -> None: ...

class EvidencePage(_message.Message):
    __slots__ = ("runs", "nodes", "deliveries", "receipts", "logs", "later_deliveries", "dropped", "account_began_at", "delivery_columns", "later_delivery_columns", "receipt_columns")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    LATER_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    LATER_DELIVERY_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunAccount]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeAccount]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    receipts: _containers.RepeatedCompositeFieldContainer[StoredReceipt]
    logs: _containers.RepeatedCompositeFieldContainer[NodeLog]
    later_deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    dropped: _containers.RepeatedCompositeFieldContainer[Dropped]
    account_began_at: float
    delivery_columns: Deliveries
    later_delivery_columns: Deliveries
    receipt_columns: StoredReceipts
    def __init__(self, runs: _Optional[_Iterable[_Union[RunAccount, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[NodeAccount, _Mapping]]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., receipts: _Optional[_Iterable[_Union[StoredReceipt, _Mapping]]] = ..., logs: _Optional[_Iterable[_Union[NodeLog, _Mapping]]] = ..., later_deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., dropped: _Optional[_Iterable[_Union[Dropped, _Mapping]]] = ..., account_began_at: _Optional[float] = ..., delivery_columns: _Optional[_Union[Deliveries, _Mapping]] = ..., later_delivery_columns: _Optional[_Union[Deliveries, _Mapping]] = ..., receipt_columns: _Optional[_Union[StoredReceipts, _Mapping]] = ...) -> None: ...

class RunAccount(_message.Message):
    __slots__ = ("run_id", "series_id", "status", "submitted_at", "finished_at", "from_run")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SERIES_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    FROM_RUN_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    series_id: int
    status: str
    submitted_at: float
    finished_at: float
    from_run: str
    def __init__(self, run_id: _Optional[int] = ..., series_id: _Optional[int] = ..., status: _Optional[str] = ..., submitted_at: _Optional[float] = ..., finished_at: _Optional[float] = ..., from_run: _Optional[str] = ...) -> None: ...

class NodeAccount(_message.Message):
    __slots__ = ("node_id", "public_key", "status", "former_keys")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FORMER_KEYS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    public_key: bytes
    status: str
    former_keys: _containers.RepeatedCompositeFieldContainer[FormerKey]
    def __init__(self, node_id: _Optional[int] = ..., public_key: _Optional[bytes] = ..., status: _Optional[str] = ..., former_keys: _Optional[_Iterable[_Union[FormerKey, _Mapping]]] = ...) -> None: ...

class FormerKey(_message.Message):
    __slots__ = ("public_key", "until")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    until: float
    def __init__(self, public_key: _Optional[bytes] = ..., until: _Optional[float] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("run_id", "node_id", "message_id", "group_id", "action", "delivered_at", "answered_at", "reply_id", "failed")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_AT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AT_FIELD_NUMBER: _ClassVar[int]
    REPLY_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_id: int
    message_id: str
    group_id: str
    action: str
    delivered_at: float
    answered_at: float
    reply_id: str
    failed: bool
    def __init__(self, run_id: _Optional[int] = ..., node_id: _Optional[int] = ..., message_id: _Optional[str] = ..., group_id: _Optional[str] = ..., action: _Optional[str] = ..., delivered_at: _Optional[float] = ..., answered_at: _Optional[float] = ..., reply_id: _Optional[str] = ..., failed: bool = ...) -> None: ...

class Deliveries(_message.Message):
    __slots__ = ("run_id", "node_ids", "message_ids", "group_ids", "actions", "delivered_at", "answered_at", "reply_ids", "failed")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_AT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AT_FIELD_NUMBER: _ClassVar[int]
    REPLY_IDS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    group_ids: _containers.RepeatedScalarFieldContainer[str]
    actions: _containers.RepeatedScalarFieldContainer[str]
    delivered_at: _containers.RepeatedScalarFieldContainer[float]
    answered_at: _containers.RepeatedScalarFieldContainer[float]
    reply_ids: _containers.RepeatedScalarFieldContainer[str]
    failed: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, run_id: _Optional[int] = ..., node_ids: _Optional[_Iterable[int]] = ..., message_ids: _Optional[_Iterable[str]] = ..., group_ids: _Optional[_Iterable[str]] = ..., actions: _Optional[_Iterable[str]] = ..., delivered_at: _Optional[_Iterable[float]] = ..., answered_at: _Optional[_Iterable[float]] = ..., reply_ids: _Optional[_Iterable[str]] = ..., failed: _Optional[_Iterable[bool]] = ...) -> None: ...

class StoredReceipt(_message.Message):
    __slots__ = ("run_id", "node_id", "message_id", "receipt", "received_at")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_id: int
    message_id: str
    receipt: _witness_pb2.Receipt
    received_at: float
    def __init__(self, run_id: _Optional[int] = ..., node_id: _Optional[int] = ..., message_id: _Optional[str] = ..., receipt: _Optional[_Union[_witness_pb2.Receipt, _Mapping]] = ..., received_at: _Optional[float] = ...) -> None: ...

class StoredReceipts(_message.Message):
    __slots__ = ("run_id", "node_ids", "records", "signatures")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    records: _containers.RepeatedScalarFieldContainer[bytes]
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, run_id: _Optional[int] = ..., node_ids: _Optional[_Iterable[int]] = ..., records: _Optional[_Iterable[bytes]] = ..., signatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Dropped(_message.Message):
    __slots__ = ("run_id", "node_id", "deliveries", "receipts", "store_id", "step", "anchor")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_id: int
    deliveries: int
    receipts: int
    store_id: str
    step: int
    anchor: bytes
    def __init__(self, run_id: _Optional[int] = ..., node_id: _Optional[int] = ..., deliveries: _Optional[int] = ..., receipts: _Optional[int] = ..., store_id: _Optional[str] = ..., step: _Optional[int] = ..., anchor: _Optional[bytes] = ...) -> None: ...

class NodeLog(_message.Message):
    __slots__ = ("node_id", "state", "receipts", "runs", "problem", "store_id", "opening", "generation", "places", "records", "signatures")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    state: str
    receipts: _containers.RepeatedCompositeFieldContainer[_witness_pb2.Receipt]
    runs: _containers.RepeatedCompositeFieldContainer[_exchange_pb2.RunLog]
    problem: str
    store_id: str
    opening: bytes
    generation: int
    places: _containers.RepeatedScalarFieldContainer[int]
    records: _containers.RepeatedScalarFieldContainer[bytes]
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, node_id: _Optional[int] = ..., state: _Optional[str] = ..., receipts: _Optional[_Iterable[_Union[_witness_pb2.Receipt, _Mapping]]] = ..., runs: _Optional[_Iterable[_Union[_exchange_pb2.RunLog, _Mapping]]] = ..., problem: _Optional[str] = ..., store_id: _Optional[str] = ..., opening: _Optional[bytes] = ..., generation: _Optional[int] = ..., places: _Optional[_Iterable[int]] = ..., records: _Optional[_Iterable[bytes]] = ..., signatures: _Optional[_Iterable[bytes]] = ...) -> None: ...
