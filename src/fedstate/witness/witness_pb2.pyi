from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class StepRecord(_message.Message):
    __slots__ = ("sequence", "run_sequence", "run_id", "series_id", "node_id", "store_id", "group_id", "action", "message_id", "handed_out", "stored", "state_bytes", "new_bytes", "app_seconds", "commit_seconds", "time", "outcome", "reason", "previous", "previous_of_store", "generation", "opening", "source_run", "source_number")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SERIES_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    HANDED_OUT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEW_BYTES_FIELD_NUMBER: _ClassVar[int]
    APP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_OF_STORE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RUN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    run_sequence: int
    run_id: int
    series_id: int
    node_id: int
    store_id: str
    group_id: str
    action: str
    message_id: str
    handed_out: bytes
    stored: bytes
    state_bytes: int
    new_bytes: int
    app_seconds: float
    commit_seconds: float
    time: float
    outcome: str
    reason: str
    previous: bytes
    previous_of_store: bytes
    generation: int
    opening: bytes
    source_run: int
    source_number: int
    def __init__(self, sequence: _Optional[int] = ..., run_sequence: _Optional[int] = ..., run_id: _Optional[int] = ..., series_id: _Optional[int] = ..., node_id: _Optional[int] = ..., store_id: _Optional[str] = ..., group_id: _Optional[str] = ..., action: _Optional[str] = ..., message_id: _Optional[str] = ..., handed_out: _Optional[bytes] = ..., stored: _Optional[bytes] = ..., state_bytes: _Optional[int] = ..., new_bytes: _Optional[int] = ..., app_seconds: _Optional[float] = ..., commit_seconds: _Optional[float] = ..., time: _Optional[float] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., previous: _Optional[bytes] = ..., previous_of_store: _Optional[bytes] = ..., generation: _Optional[int] = ..., opening: _Optional[bytes] = ..., source_run: _Optional[int] = ..., source_number: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("record", "signature")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    record: bytes
    signature: bytes
    def __init__(self, record: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
