"""Addresses of the pages."""

from django.urls import path

from classifier.api.v1 import api
from classifier.web import atlas, batches, history, label_set, live, pictures, ready, search, views

urlpatterns = [
    path("", views.home, name="home"),
    path("uploads/ready", ready.upload_ready, name="upload_ready"),
    path("uploads/<uuid:upload_id>/", views.upload_detail, name="upload"),
    path("uploads/<uuid:upload_id>/image", pictures.upload_image, name="upload_image"),
    path("uploads/<uuid:upload_id>/thumbnail", pictures.upload_thumbnail, name="upload_thumbnail"),
    path("uploads/<uuid:upload_id>/record.json", views.upload_json, name="upload_record"),
    path("uploads/<uuid:upload_id>/classify", views.upload_classify, name="upload_classify"),
    path("uploads/<uuid:upload_id>/feedback", views.upload_feedback, name="upload_feedback"),
    path("uploads/<uuid:upload_id>/delete", views.upload_delete, name="upload_delete"),
    path("uploads/<uuid:upload_id>/relabel", search.upload_relabel, name="upload_relabel"),
    path("uploads/<uuid:upload_id>/live", live.upload_live, name="upload_live"),
    path("uploads/<uuid:upload_id>/square", live.upload_square, name="upload_square"),
    path("history/", history.history, name="history"),
    path("batches/", batches.batch_new, name="batch_new"),
    path("batches/<uuid:batch_id>/", batches.batch_detail, name="batch"),
    path("batches/<uuid:batch_id>/results.csv", batches.batch_csv, name="batch_csv"),
    path("label-sets/<int:label_set_id>/", label_set.label_set, name="label_set"),
    path("label-sets/<int:label_set_id>/examples", label_set.example_add, name="label_set_example"),
    path(
        "label-sets/<int:label_set_id>/examples/<uuid:upload_id>/remove",
        label_set.example_remove,
        name="label_set_example_remove",
    ),
    path("history/map", atlas.history_map, name="history_map"),
    path("history/search", search.history_search, name="history_search"),
    path("history/relabel", history.history_relabel, name="history_relabel"),
    path("history/delete", history.history_delete, name="history_delete"),
    path("history/export.json", history.history_export, {"format": "json"}, name="history_json"),
    path("history/export.csv", history.history_export, {"format": "csv"}, name="history_csv"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("about/", views.about, name="about"),
    path("api/v1/", api.urls),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
